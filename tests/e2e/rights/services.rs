//! What the roles are for of the functions that only a service has.

use anyhow::{Result, bail};
use jiff::Timestamp;
use local_cloud::{ACCOUNT, REGION};
use local_ecs::{Fault, Rule, Stage};
use mayfly_model::names::Names;
use mayfly_model::plan::{Plan, PlannedNetwork};
use mayfly_model::record;
use serde_json::{Value, json};

use super::Rights;
use super::functions::needed;
use super::stack::{NAME, Stack, execution};
use crate::support::world::{self, until};

/// A service that runs, and one that ECS gives up.
const SERVED: &str = "rights-served";
const MISSING: &str = "rights-missing";
/// Jobs that wait for a container that never comes, so that their tokens are good until one is used.
const EXTENDED: &str = "rights-extended";
const FAILED: &str = "rights-failed";

/// In an order in which each finds what those before it have made.
const FUNCTIONS: [&str; 7] = [
    "check-service",
    "begin-service",
    "keep-service",
    "handle-running-task",
    "extend-service",
    "handle-stopped-task",
    "end-service",
];

pub async fn prove(stack: &Stack) -> Result<Rights> {
    for job in [EXTENDED, FAILED] {
        let never = Rule { tasks: 100, ..Rule::once(Fault::NeverStarts { stage: Stage::Pending }) };
        stack.world.cloud().ecs_faults().add(job, [never]);
        stack.start(job, &stack.submission(job)?["document"]).await?;
    }
    for (job, image) in [(SERVED, "python:3.13-slim"), (MISSING, "missing:1")] {
        let plan = plan(stack, job, image).await?;
        let PlannedNetwork::Joined(network) = &plan.network else { bail!("{job} has a network of its own") };
        let registered = stack.call("register-task", &json!({ "plan": plan })).await?;
        let definition = &registered["taskDefinition"];
        let service = json!({ "plan": plan, "network": network, "turn": plan.first_turn, "taskDefinition": definition });
        stack.call("create-service", &service).await?;
        let checked = checked(&plan)?;
        until("the service to be ready, or given up", || async {
            Ok(stack.invoke("check-service", &checked).await?.ok())
        })
        .await?;
    }
    let mut proven = Rights::new();
    for function in FUNCTIONS {
        let payload = async |scene| payload(stack, function, scene).await;
        for (role, actions) in needed(stack, function, payload).await? {
            proven.entry(role).or_default().extend(actions);
        }
    }
    for job in [SERVED, MISSING] {
        stack.world.try_start(&world::machine_of(NAME, "tear-down"), job, &json!({ "job": job })).await?;
    }
    Ok(proven)
}

/// The plan of a new run of the service.
async fn plan(stack: &Stack, job: &str, image: &str) -> Result<Plan> {
    Ok(serde_json::from_value(stack.call("plan-job", &submission(stack, job, image, false)?).await?)?)
}

/// What Step Functions gives to plan-job for a service.
pub fn submission(stack: &Stack, job: &str, image: &str, has_load_balancer: bool) -> Result<Value> {
    let mut submission = stack.submission(job)?;
    submission["startTime"] = Timestamp::now().to_string().into();
    let document = submission["document"].as_object_mut().expect("a document is an object");
    document.remove("task");
    document.insert(
        "container".into(),
        json!({ "image": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/tools/library/{image}") }),
    );
    document.insert(
        "service".into(),
        json!({ "ports": [{ "port": 8080 }], "allowFrom": ["127.0.0.1/32"], "ttlMinutes": 600,
                "command": ["python3", "-m", "http.server", "8080"], "loadBalancer": has_load_balancer }),
    );
    Ok(submission)
}

fn checked(plan: &Plan) -> Result<Value> {
    let PlannedNetwork::Joined(network) = &plan.network else { bail!("it has a network of its own") };
    Ok(json!({ "plan": plan, "turn": plan.first_turn, "cluster": network.cluster }))
}

/// The plan of the run that has begun, whose execution is one that runs.
async fn begun(stack: &Stack) -> Result<Plan> {
    let mut plan = plan(stack, SERVED, "python:3.13-slim").await?;
    plan.mailbox_url.clone_from(&stack.record(SERVED).await?[record::MAILBOX]);
    Ok(plan)
}

/// What the function is given to need its rights.
async fn payload(stack: &Stack, function: &str, scene: u32) -> Result<Option<Value>> {
    Ok(Some(match (function, scene) {
        ("check-service", 0) => checked(&plan(stack, SERVED, "python:3.13-slim").await?)?,
        ("check-service", 1) => checked(&plan(stack, MISSING, "missing:1").await?)?,
        // Each is of a new run.
        ("begin-service", 0) => {
            let mut plan = plan(stack, SERVED, "python:3.13-slim").await?;
            plan.execution = execution("run-job", EXTENDED);
            json!({ "plan": plan, "life": {} })
        }
        ("keep-service", 0) => kept(stack, EXTENDED).await?,
        ("handle-running-task", 0) => {
            let mut event = event(stack, "handle-running-task").await?;
            event["detail"]["version"] = 7.into();
            event
        }
        ("extend-service", 0) => json!({ "job": SERVED, "minutes": 1 }),
        // Of a container that ended by itself, as two before it.
        ("handle-stopped-task", 0) => {
            // It may have failed before, by what was tried then.
            drop(stack.invoke("keep-service", &kept(stack, FAILED).await?).await?);
            let ended = async || {
                let mut event = event(stack, "handle-stopped-task").await?;
                event["time"] = Timestamp::now().to_string().into();
                event["detail"]["stopCode"] = "EssentialContainerExited".into();
                event["detail"]["stoppedReason"] = "Essential container in task exited".into();
                anyhow::Ok(event)
            };
            for _ in 0..2 {
                drop(stack.invoke("handle-stopped-task", &ended().await?).await?);
            }
            ended().await?
        }
        ("end-service", 0) => {
            let plan = begun(stack).await?;
            json!({ "plan": plan, "turn": plan.first_turn, "life": { "kept": { "Error": "States.Timeout" } } })
        }
        _ => return Ok(None),
    }))
}

/// What keep-service is given to remember the token that the job waits for.
async fn kept(stack: &Stack, job: &str) -> Result<Value> {
    let token = stack.record(job).await?[record::TOKEN].clone();
    Ok(json!({ "plan": begun(stack).await?, "taskToken": token }))
}

/// ECS's event about another task of the service each time.
async fn event(stack: &Stack, function: &str) -> Result<Value> {
    let mut event = world::sample(&format!("{function}.json"))?;
    event["detail"]["clusterArn"] = stack.creation().await?["network"]["cluster"].clone();
    event["detail"]["group"] = format!("service:{}", Names::new(NAME, SERVED).service(1)).into();
    let task = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/mayfly/{:032}", stack.number());
    event["detail"]["taskArn"] = task.into();
    Ok(event)
}
