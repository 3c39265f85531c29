//! What each function's role, and the role that signs URLs, is for.

use std::cell::Cell;
use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use local_cloud::deploy::DATA_BUCKET;
use local_ecs::{Fault, Rule, Stage};
use mayfly_model::class::Class;
use mayfly_model::message::{
    Failure, FileSize, Finished, News, Order, Phase, Progress, Report, SignedUrls, Upload,
};
use mayfly_model::names::{Names, job_id};
use mayfly_model::tags;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::Rights;
use super::network::{Network, balanced};

use super::services;
use super::stack::{Failed, NAME, PRIVATE, SOLO, Stack, denies, execution, pascal};
use super::uploads;
use crate::support::world::{self, until};

/// In an order in which each finds what those before it have made. Neither `sweep-expired` nor those that make a
/// network.
const FUNCTIONS: &[&str] = &[
    "plan-job",
    "create-queue",
    "register-task",
    "create-service",
    "find-task",
    "dispatch-job",
    "collect-result",
    "stop-execution",
    "find-leftovers",
    "conclude-job",
    "handle-report",
    "handle-stopped-task",
    // What these delete is in use, and they look by what.
    "delete-internet-gateway",
    "delete-security-groups",
    "delete-subnets",
    "delete-vpc",
    "delete-service",
    "delete-queue",
    "delete-task",
    "delete-cluster",
    "delete-nat-gateway",
    "delete-endpoints",
    "delete-load-balancer",
    "delete-target-groups",
    "release-address",
    "delete-route-tables",
    "delete-egress-only-internet-gateway",
    "abort-uploads",
];
/// Jobs that wait for a container that never comes, so that their tokens are good.
const HELD: &str = "rights-held";
const ENDING: &str = "rights-ending";

/// An input of theirs that is to be listed.
const FOLDER: &str = "folder/";

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const LONG_AHEAD: &str = "2100-01-01T00:00:00Z";

pub async fn prove(stack: &Stack) -> Result<Rights> {
    let mut network = Network::planned(stack, PRIVATE).await?;
    let mut proven = network.prove(stack).await?;
    let private = stack.service_in(&network.plan, &network.place()?).await?;
    stack.call("create-service", &private).await?;
    stack.running(&private).await?;
    for function in FUNCTIONS.iter().copied() {
        match function {
            "find-task" => stack.running(stack.creation().await?).await?,
            "handle-report" => hold(stack).await?,
            _ => {}
        }
        let payload = async |scene| payload(stack, &network, function, scene).await;
        proven.extend(needed(stack, function, payload).await?);
        if function == "handle-report" {
            let role = "HandleReportFunctionRole";
            proven.entry(role.to_owned()).or_default().insert(needed_to_come_back(stack, role).await?);
            let mut of_data = needed_for_urls(stack).await?;
            of_data.extend(uploads::needed(stack, HELD).await?);
            proven.insert("DataRole".to_owned(), of_data);
        }
    }
    Ok(proven)
}

/// Of the one function that no job needs, so that jobs may run meanwhile.
pub async fn prove_sweeper(stack: &Stack) -> Result<Rights> {
    // It has waited for long enough, and would end by itself.
    let held = execution("run-job", HELD);
    stack.world.states.stop_execution().execution_arn(&held).send().await?;
    // What a look finds stays; a sweep has it torn down.
    let is_there = Cell::new(false);
    let payload = async |scene| {
        match scene {
            // Most of its rights are for looking.
            0 => {
                if !is_there.replace(true) {
                    forget_a_job(stack).await?;
                }
                return Ok(Some(json!({ "lookOnly": true })));
            }
            1 => is_there.set(false),
            // The execution of this one runs too long.
            2 => {
                let job = format!("rights-late-{}", stack.number());
                start_for_ever(stack, &job).await?;
                // Once it is dispatched it has a service, which a sweep describes.
                stack.record(&job).await?;
                stack.mailbox(&job, LONG_AGO).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(json!({})))
    };
    needed(stack, "sweep-expired", payload).await
}

/// Makes something of each kind that a sweep looks for, of a job without an execution: a service, which takes one, apart.
async fn forget_a_job(stack: &Stack) -> Result<()> {
    let job = format!("{SOLO}-{}", stack.number());
    let mut plan = stack.plan(&job).await?;
    plan.tags.insert(tags::EXECUTION.to_owned(), execution("run-job", &job));
    stack.mailbox(&job, LONG_AHEAD).await?;
    stack.call("register-task", &json!({ "plan": plan })).await?;
    stack.call("create-cluster", &json!({ "plan": plan })).await?;
    let groups = json!({ "plan": balanced(plan)?, "vpcId": stack.vpc().await? });
    stack.call("create-target-groups", &groups).await?;
    Ok(())
}

async fn hold(stack: &Stack) -> Result<()> {
    for job in [HELD, ENDING] {
        start_for_ever(stack, job).await?;
    }
    for job in [HELD, ENDING] {
        stack.record(job).await?;
    }
    Ok(())
}

/// Starts a job whose container never comes.
async fn start_for_ever(stack: &Stack, job: &str) -> Result<()> {
    let never = Rule { tasks: 100, ..Rule::once(Fault::NeverStarts { stage: Stage::Pending }) };
    stack.world.cloud().ecs_faults().add(job, [never]);
    let mut document = stack.submission(job)?["document"].clone();
    let folder = json!({ "file": FOLDER, "from": format!("s3://{DATA_BUCKET}/{NAME}/") });
    document["task"]["inputs"].as_array_mut().context("it has inputs")?.push(folder);
    stack.start(job, &document).await?;
    Ok(())
}

/// The actions of the function's role without which it is denied what it does, on each of their resources. `payload` is
/// what it is given in each scene; none when it has no such scene.
pub async fn needed(
    stack: &Stack,
    function: &str,
    payload: impl AsyncFn(u32) -> Result<Option<Value>>,
) -> Result<Rights> {
    let role = format!("{}FunctionRole", pascal(function));
    let mut needed = BTreeSet::new();
    for (action, resources) in stack.granted_to(&role) {
        let mut needed_on = BTreeSet::new();
        for resource in &resources {
            stack.limit_on(&role, &action, resource).await?;
            let denied = is_denied(stack, function, &role, &action, &payload).await;
            if denied.with_context(|| format!("{function} without {action} on {resource}"))? {
                needed_on.insert(resource.clone());
            }
        }
        ensure!(
            needed_on.is_empty() || needed_on == resources,
            "{role} has {action} on {resources:?}, and needs it on {needed_on:?}: take the rest away in template.yaml"
        );
        needed.extend((!needed_on.is_empty()).then_some(action));
    }
    stack.limit(&role, &[]).await?;
    for scene in 0.. {
        let Some(payload) = payload(scene).await? else { break };
        let last = answer(stack, function, &payload).await?;
        ensure!(outcome(&last) == Outcome::Works, "{function} with all its rights again: {last:?}");
    }
    Ok([(role, needed)].into())
}

/// What the function answers, as soon as AWS does not only say that it is called too often.
async fn answer(stack: &Stack, function: &str, payload: &Value) -> Result<Result<Value, Failed>> {
    until(&format!("{function} not to be throttled"), || async {
        let answer = stack.invoke(function, payload).await?;
        let is_throttled = |failed: &Failed| failed.message.contains("RequestLimitExceeded");
        Ok((!answer.as_ref().is_err_and(is_throttled)).then_some(answer))
    })
    .await
}

/// Whether a scene of the function ends with AWS's denial of just this action.
async fn is_denied(
    stack: &Stack,
    function: &str,
    role: &str,
    action: &str,
    payload: &impl AsyncFn(u32) -> Result<Option<Value>>,
) -> Result<bool> {
    for scene in 0.. {
        let Some(payload) = payload(scene).await? else { break };
        match outcome(&answer(stack, function, &payload).await?) {
            Outcome::Works => {}
            Outcome::Fails(Failed { error, message }) => {
                // DispatchJob's of a mailbox just made may be one of the moment.
                let is_denial = ["AccessDenied", "NotVisibleYet"].contains(&error.as_str());
                ensure!(is_denial && denies(message, action), "{error}: {message}");
                return Ok(true);
            }
            Outcome::OnlyLogs => {
                let caller = format!("assumed-role/{}/", stack.id(role)?);
                until(&format!("a log of {role} being denied {action}"), || async {
                    let lines = stack.function_log(action).await?;
                    let mut of_role = lines.iter().filter(|line| line.contains(&caller));
                    Ok(of_role.any(|line| denies(line, action)).then_some(()))
                })
                .await?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[derive(Debug, PartialEq)]
enum Outcome<'a> {
    /// The function did its work, or would have: some things take time to come and to go.
    Works,
    Fails(&'a Failed),
    /// A batch fails message by message, and something is in use by what cannot be told: only the log says why.
    OnlyLogs,
}

fn outcome(answer: &Result<Value, Failed>) -> Outcome<'_> {
    match answer {
        Ok(answer) if answer["batchItemFailures"].as_array().is_none_or(Vec::is_empty) => Outcome::Works,
        Ok(_) => Outcome::OnlyLogs,
        Err(failed) => match failed.error.as_str() {
            "StillInUse"
                if failed.message.contains("DependencyViolation")
                    && !failed.message.contains("in the VPC are") =>
            {
                Outcome::OnlyLogs
            }
            "StillInUse" | "NatPending" | "BlockPending" | "EndpointsPending" | "LoadBalancerPending" => {
                Outcome::Works
            }
            _ => Outcome::Fails(failed),
        },
    }
}

/// What the function is given to need its rights.
async fn payload(stack: &Stack, network: &Network, function: &str, scene: u32) -> Result<Option<Value>> {
    Ok(Some(match (function, scene) {
        ("plan-job", 0) => stack.submission(SOLO)?,
        // Whether a load balancer in these subnets can be called from the internet.
        ("plan-job", 1) => services::submission(stack, SOLO, "python:3.13-slim", true)?,
        ("plan-job", 2) => stack.submission_of_image(SOLO)?,
        ("create-queue", 0) => json!({ "plan": stack.plan(SOLO).await? }),
        // It looks at the definition of another run, and makes one for this.
        ("register-task", 0) => {
            stack.creation().await?;
            json!({ "plan": stack.plan(SOLO).await? })
        }
        ("create-service", 0) => stack.creation().await?.clone(),
        ("find-task", 0) => Stack::whereabouts(stack.creation().await?),
        ("dispatch-job", 0 | 1) => {
            let plan = stack.plan(SOLO).await?;
            stack.call("create-queue", &json!({ "plan": plan })).await?;
            let mut order = json!({ "plan": plan, "turn": plan.first_turn, "taskToken": "a-task-token" });
            if scene == 1 {
                stack.call(function, &order).await?;
                order["turn"]["start"] = 2.into();
            }
            order
        }
        ("collect-result", 0) => {
            let plan = stack.plan(SOLO).await?;
            json!({ "plan": plan, "turn": plan.first_turn, "dispatch": {} })
        }
        ("conclude-job", 0) => {
            // Of the run that was dispatched.
            let mut plan = stack.plan(SOLO).await?;
            plan.mailbox_url.clone_from(&stack.record(SOLO).await?["mailbox"]);
            json!({ "job": SOLO, "planned": { "plan": plan }, "awaitReports": true })
        }
        ("handle-report", 0) => report(stack, HELD, heartbeat()).await?,
        ("handle-report", 1) => report(stack, HELD, urls_wanted()).await?,
        ("handle-report", 2) => report(stack, ENDING, finished(Some(Class::CommandFailed))).await?,
        ("handle-report", 3) => report(stack, ENDING, finished(None)).await?,
        ("handle-stopped-task", 0) => stopped(stack, HELD).await?,
        // A NAT gateway has an address and an interface in this VPC, and a task has an interface.
        (
            "delete-internet-gateway"
            | "delete-security-groups"
            | "delete-subnets"
            | "delete-vpc"
            | "delete-cluster"
            | "delete-nat-gateway"
            | "delete-endpoints"
            | "delete-egress-only-internet-gateway"
            | "release-address",
            0,
        ) => json!({ "job": PRIVATE }),
        // This one is attached to nothing, so it goes at once.
        ("delete-internet-gateway", 1) => {
            stack.call("create-internet-gateway", &json!({ "plan": stack.plan(SOLO).await? })).await?;
            json!({ "job": SOLO })
        }
        ("delete-route-tables", 0) => {
            network.associate(stack).await?;
            json!({ "job": PRIVATE })
        }
        ("stop-execution", 0) => json!({ "job": SOLO, "caller": "a person" }),
        // The name is looked for.
        ("stop-execution", 1) => json!({ "job": job_id("rights.solo"), "caller": "a person" }),
        // What an earlier call has deleted is there again; the search looks at the tags of what has this job's names.
        ("delete-load-balancer" | "delete-target-groups", 0) | ("find-leftovers", 1) => {
            network.balance(stack).await?;
            json!({ "job": PRIVATE })
        }
        // Its actions are tried in the order of their names, so the one service is there until DeleteService is tried.
        ("find-leftovers" | "delete-service", 0) => json!({ "job": SOLO }),
        ("delete-queue", 0) => {
            stack.mailbox(SOLO, LONG_AHEAD).await?;
            json!({ "job": SOLO })
        }
        // Its dispatch has left a record of it.
        ("abort-uploads", 0) | ("find-leftovers", 2) => {
            uploads::begin(stack, SOLO).await?;
            json!({ "job": SOLO })
        }
        ("delete-task", 0) => {
            stack.call("register-task", &json!({ "plan": stack.plan(SOLO).await? })).await?;
            json!({ "job": SOLO })
        }
        _ => return Ok(None),
    }))
}

/// The action without which a report whose handling has failed comes back late.
async fn needed_to_come_back(stack: &Stack, role: &str) -> Result<String> {
    const ACTION: &str = "sqs:ChangeMessageVisibility";
    stack.limit(role, &[ACTION, "dynamodb:UpdateItem"]).await?;
    let answer = stack.invoke("handle-report", &report(stack, HELD, heartbeat()).await?).await?;
    ensure!(outcome(&answer) == Outcome::OnlyLogs, "without any of both rights: {answer:?}");
    until("a report that comes back late", || async {
        let lines = stack.function_log(ACTION).await?;
        Ok(lines
            .iter()
            .any(|line| line.contains("report comes back late") && denies(line, ACTION))
            .then_some(()))
    })
    .await?;
    stack.limit(role, &[]).await?;
    Ok(ACTION.to_owned())
}

fn heartbeat() -> News {
    News::Heartbeat(Progress { phase: Phase::Running, percent: None, line: None })
}

fn urls_wanted() -> News {
    News::UrlsWanted {
        downloads: vec!["in.mp4".into()],
        uploads: vec![FileSize { file: "out.mp4".into(), bytes: 2 }],
    }
}

fn finished(class: Option<Class>) -> News {
    let failure = class.map(|class| Failure { class, message: "it did not work".into(), output: None });
    News::Finished(Finished { seconds: 1.0, exit_code: Some(0), failure, ..Finished::default() })
}

/// The event that brings a report, with the nonce and the turn that the table has.
pub async fn report(stack: &Stack, job: &str, news: News) -> Result<Value> {
    let record = stack.record(job).await?;
    let turn = serde_json::from_str(&record["turn"])?;
    let nonce = record["nonce"].clone();
    let task_arn = Some("arn:aws:ecs:eu-central-1:123456789012:task/mayfly/the-one".into());
    let report = Report { job: job.to_owned(), turn, nonce, task_arn, news };
    let mut event = world::sample("handle-report.json")?;
    event["Records"][0]["body"] = serde_json::to_string(&report)?.into();
    Ok(event)
}

/// ECS's event about a task of the job that is not the one that reports, so that the job goes on.
async fn stopped(stack: &Stack, job: &str) -> Result<Value> {
    let mut event = world::sample("handle-stopped-task.json")?;
    event["detail"]["clusterArn"] = stack.creation().await?["network"]["cluster"].clone();
    event["detail"]["group"] = format!("service:{}", Names::new(NAME, job).service(1)).into();
    Ok(event)
}

/// The data role's actions without which URLs that were signed as this role are of no use.
async fn needed_for_urls(stack: &Stack) -> Result<BTreeSet<String>> {
    let SignedUrls { downloads, uploads, .. } = signed(stack).await?;
    let (Some(download), Some(upload)) = (downloads.first(), uploads.first()) else { bail!("two URLs") };
    let mut needed = BTreeSet::new();
    for action in &stack.granted()["DataRole"] {
        stack.limit("DataRole", &[action]).await?;
        if action == "s3:ListBucket" {
            ensure!(cannot_list(stack, action).await?, "a folder is listed without {action}");
            needed.insert(action.clone());
        }
        let (got, posted) = (reqwest::get(&download.url).await?, post(upload).await?);
        for (answer, its_action) in [(got, "s3:GetObject"), (posted, "s3:PutObject")] {
            let status = answer.status();
            let text = answer.text().await?;
            if its_action == action {
                ensure!(status == 403 && text.contains("AccessDenied"), "without {action}: {status} {text}");
                needed.insert(action.clone());
            } else {
                ensure!(status.is_success(), "{its_action} without {action}: {status} {text}");
            }
        }
    }
    stack.limit("DataRole", &[]).await?;
    ensure!(
        reqwest::get(&download.url).await?.status().is_success() && post(upload).await?.status().is_success()
    );
    Ok(needed)
}

/// Whether handle-report says that it may not list a folder for want of `action`.
async fn cannot_list(stack: &Stack, action: &str) -> Result<bool> {
    let wanted = News::PageWanted { folder: FOLDER.to_owned(), after: None };
    let answer = stack.invoke("handle-report", &report(stack, HELD, wanted).await?).await?;
    if outcome(&answer) != Outcome::OnlyLogs {
        return Ok(false);
    }
    let caller = format!("assumed-role/{}/", stack.id("DataRole")?);
    until("a folder that is not listed", || async {
        let lines = stack.function_log(action).await?;
        Ok(lines.iter().any(|line| line.contains(&caller) && denies(line, action)).then_some(true))
    })
    .await
}

/// The newest URLs in the mailbox of the held job, for which a container has asked.
async fn signed(stack: &Stack) -> Result<SignedUrls> {
    stack.call("handle-report", &report(stack, HELD, urls_wanted()).await?).await?;
    let mailbox = &stack.record(HELD).await?["mailbox"];
    let sqs = &stack.world.sqs;
    until("signed URLs", || async {
        let received = sqs.receive_message().queue_url(mailbox).max_number_of_messages(10).send().await?;
        let bodies = received.messages().iter().filter_map(|message| message.body());
        let orders = bodies.map(serde_json::from_str).collect::<Result<Vec<Order>, _>>()?;
        Ok(orders.into_iter().find_map(|order| if let Order::Urls(urls) = order { Some(urls) } else { None }))
    })
    .await
}

async fn post(upload: &Upload) -> Result<reqwest::Response> {
    let fields = upload.fields.clone().into_iter();
    let form = fields.fold(Form::new(), |form, (name, value)| form.text(name, value));
    let form = form.part("file", Part::bytes(b"ok".to_vec()).file_name("file"));
    Ok(reqwest::Client::new().post(&upload.url).multipart(form).send().await?)
}
