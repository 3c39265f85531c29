//! One run: a job from its start until nothing of it is left, or until it is plain that something will be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use local_states::execution::{Execution, Status};
use mayfly_model::names::Names;
use mayfly_model::outcome::Outcome;
use mayfly_stand_ins::s3::objects::Objects;
use mayfly_stand_ins::sqs::Depth;
use mayfly_stand_ins::worker::{Config as StageConfig, Director, Image, Life, Stage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use crate::account::{Account, JOB, Quotas};
use crate::circumstance::Circumstance;
use crate::draw::{SERVICE_IMAGE, SERVICE_IMAGE_IN_REGION};
use crate::faults::{Fault, Faults, Made};
use crate::said::Said;
use crate::stack::Stack;
use crate::strangers::{Taken, guard};
use crate::witness::Creation;
use crate::{account, draw, left, truth};

/// The name of the stack.
pub const STACK: &str = "mayfly";
/// The name of another one.
const OTHER_STACK: &str = "others";
/// How long anything may take: no simulated job has more than hours.
const PATIENCE: Duration = Duration::from_hours(36);
/// How often it is looked whether something has ended.
const LOOK: Duration = Duration::from_secs(5);
/// How long after an execution's end a sweep cares for what is left of it.
const GRACE: Duration = Duration::from_mins(31);
/// How long after an execution's end a teardown of the rule has begun at the latest.
const RULE: Duration = Duration::from_mins(5);
/// How long after the last fault every report has been handled: none waits longer for its next try than five minutes.
const HANDLED: Duration = Duration::from_hours(1);

/// What is run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What everything random comes from.
    pub seed: u64,
    /// The job's document.
    pub document: Value,
    /// The parameters of the stack.
    pub parameters: Vec<(&'static str, &'static str)>,
    /// What the account may have.
    pub quotas: Quotas,
    /// What goes wrong between functions and AWS.
    pub faults: Faults,
    /// What goes wrong around them.
    pub circumstances: Vec<Circumstance>,
    /// Whether the containers do what they should.
    pub is_clean: bool,
    /// What they do.
    pub director: Arc<dyn Director>,
}

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Report {
    /// What must hold and does not, in words.
    pub violations: Vec<String>,
    /// The outcome that the execution ended with, where it did with one.
    pub outcome: Option<Value>,
    /// How the execution ended.
    pub status: String,
    /// What went wrong.
    pub faults: Vec<Fault>,
    /// What went wrong around them.
    pub circumstances: Vec<Circumstance>,
    /// The calls and runs of functions, in order, as long as anything could go wrong.
    pub made: Vec<Made>,
    /// The states that the job's execution entered, in order, and then those of its own teardown.
    pub states: Vec<Visit>,
    /// What was there of the job before a sweep.
    pub left: BTreeSet<String>,
    /// How long it took from start to end, in seconds of the cloud.
    pub seconds: f64,
    /// All that happened, in lines, where that was asked for.
    #[serde(skip)]
    pub trace: Vec<String>,
}

/// One time that an execution was in a state. Times are milliseconds since the job's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Visit {
    /// Of which machine, by its file.
    pub machine: String,
    /// The state's name.
    pub state: String,
    /// When it was entered.
    pub from: u64,
    /// When it was left; nothing where the execution ended in it.
    pub until: Option<u64>,
}

/// Runs `scenario`, and tells all that happens if it is to.
///
/// # Errors
/// Where the account could not be set up or looked at.
pub async fn play(scenario: Scenario, with_trace: bool) -> Result<Report> {
    let mut run = Box::pin(Run::begin(&scenario)).await?;
    let execution = run.start(JOB, &scenario.document).await?;
    let around = run.meanwhile();
    run.ended(&execution).await;
    for neighbour in around {
        run.jobs.extend(neighbour.await?);
    }
    Box::pin(run.finish(with_trace)).await
}

/// An account with the stack in it, and the jobs that have been started.
#[derive(Debug)]
pub struct Run {
    /// The account.
    pub account: Account,
    /// What plays its containers.
    pub stage: Stage,
    /// The stacks; the first is that of the jobs.
    pub stacks: Vec<Stack>,
    /// What its functions log.
    pub said: Said,
    /// Whether somebody has taken a right away from a function, or made something with a job's tags.
    pub is_disturbed: bool,
    /// What goes wrong between functions and AWS.
    pub faults: Faults,
    is_clean: bool,
    circumstances: Vec<Circumstance>,
    /// What there was before the first job.
    before: BTreeSet<String>,
    jobs: Vec<Job>,
    stopped: BTreeSet<String>,
    _listening: DefaultGuard,
}

/// A job that was started.
#[derive(Debug)]
struct Job {
    id: String,
    document: Value,
    execution: Arc<Execution>,
}

impl Job {
    fn of(id: &str, execution: &Arc<Execution>) -> Result<Self> {
        let document = serde_json::from_str(&execution.input)?;
        Ok(Self { id: id.to_owned(), document, execution: Arc::clone(execution) })
    }
}

impl Run {
    /// Deploys the stack of `scenario`. No job runs yet.
    ///
    /// # Errors
    /// Where something of it is refused.
    pub async fn begin(scenario: &Scenario) -> Result<Self> {
        let Scenario { seed, parameters, quotas, faults, circumstances, is_clean, director, .. } = scenario;
        let (said, listening) = Said::listen();
        let (account, stage) = account(*seed, *quotas, faults, circumstances, Arc::clone(director));
        let mut stacks = vec![account.deploy(STACK, parameters).await?];
        if circumstances.iter().any(|one| matches!(one, Circumstance::Neighbour { elsewhere: true, .. })) {
            stacks.push(account.deploy(OTHER_STACK, parameters).await?);
        }
        let before = left::everything(&account.root()).await?;
        account.witness.begin();
        Ok(Self {
            account,
            stage,
            stacks,
            said,
            is_disturbed: false,
            faults: faults.clone(),
            is_clean: *is_clean,
            circumstances: circumstances.clone(),
            before,
            jobs: Vec::new(),
            stopped: BTreeSet::new(),
            _listening: listening,
        })
    }

    /// Starts a job.
    ///
    /// # Errors
    /// Where Step Functions refuses it.
    pub async fn start(&mut self, job: &str, document: &Value) -> Result<Arc<Execution>> {
        self.account.phases.begin();
        let execution = start(&self.account, &self.stacks[0], job, document).await?;
        self.jobs.push(Job::of(job, &execution)?);
        Ok(execution)
    }

    /// Stops a job as a person does, where it runs.
    pub fn stop(&mut self, job: &str) {
        let is_it = |known: &&Job| known.id == job && known.execution.status() == Status::Running;
        for running in self.jobs.iter().filter(is_it) {
            self.account.step_functions.engine.stop(&running.execution, None, None);
            self.stopped.insert(job.to_owned());
        }
    }

    /// The execution of a job that was started.
    pub fn job(&self, job: &str) -> Option<Arc<Execution>> {
        self.jobs.iter().find(|known| known.id == job).map(|known| Arc::clone(&known.execution))
    }

    /// Whether none of the jobs runs.
    pub fn is_idle(&self) -> bool {
        self.jobs.iter().all(|job| job.execution.status() != Status::Running)
    }

    /// What is there that was not before the jobs.
    ///
    /// # Errors
    /// Where the account could not be looked at.
    pub async fn left(&self) -> Result<BTreeSet<String>> {
        Ok(&left::everything(&self.account.root()).await? - &self.before)
    }

    /// What is there now was there before the jobs.
    ///
    /// # Errors
    /// Where the account could not be looked at.
    pub async fn disregard(&mut self) -> Result<()> {
        self.before = left::everything(&self.account.root()).await?;
        Ok(())
    }

    /// Whether the execution ends while there is patience.
    pub async fn ended(&self, execution: &Execution) -> bool {
        let clock = self.account.upstream.clock;
        let deadline = clock.instant() + PATIENCE;
        while execution.status() == Status::Running && clock.instant() < deadline {
            clock.sleep(LOOK).await;
        }
        execution.status() != Status::Running
    }

    /// Waits for the end of all jobs and of the teardowns that follow, and looks at what must hold. Tells all that happened if
    /// it is to.
    ///
    /// # Errors
    /// Where the account could not be looked at.
    ///
    /// # Panics
    /// Where no job was started.
    pub async fn finish(self, with_trace: bool) -> Result<Report> {
        let mut violations = Vec::new();
        for Job { id, execution, .. } in &self.jobs {
            if !self.ended(execution).await {
                violations.push(format!("{id} has not ended after {} hours", PATIENCE.as_secs() / 3600));
            }
        }
        let Self { account, stacks, faults, before, jobs, .. } = &self;
        account.upstream.clock.sleep(RULE).await;
        let breakable = faults.made();
        faults.lift();
        account.phases.lift();
        torn_down(account, stacks).await;
        let left: BTreeSet<_> = &left::everything(&account.root()).await? - before;
        let (faulty, lives) = (faults.done(), self.stage.truth().lives());
        let calls = faults.made().iter().filter(|made| made.action.is_some()).count();
        let mut outcomes: Vec<_> = jobs.iter().map(|job| outcome(&job.execution)).collect();
        violations.extend(self.of_jobs(&outcomes, &left, &lives, &faulty));

        if !left.is_empty() {
            // The sweeper leaves what has just ended to the rule.
            account.upstream.clock.sleep(GRACE).await;
        }
        for stack in stacks {
            sweep(account, stack).await?;
        }
        torn_down(account, stacks).await;
        account.upstream.clock.sleep(RULE).await;
        let still: BTreeSet<_> = &left::everything(&account.root()).await? - before;
        violations.extend(still.iter().map(|what| format!("left after a sweep: {what}")));
        violations.extend(self.of_whole(&lives, &faulty, calls).await);
        let Job { id, execution, .. } = &jobs[0];
        let over = execution.ending().map_or(account.upstream.clock.now(), |(_, over)| over);
        let mut states = visits("run-job", execution, execution.started);
        if let Some(own) = teardown(account, &stacks[0], id) {
            states.extend(visits("tear-down", &own, execution.started));
        }
        Ok(Report {
            violations,
            outcome: outcomes.swap_remove(0).map(|outcome| json!(outcome)),
            status: format!("{:?}", execution.status()),
            faults: faulty,
            circumstances: self.circumstances.clone(),
            made: breakable,
            states,
            left,
            seconds: over.duration_since(execution.started).as_secs_f64(),
            trace: if with_trace { trace(account, stacks) } else { Vec::new() },
        })
    }

    /// What must hold of each job and does not.
    fn of_jobs(
        &self,
        outcomes: &[Option<Outcome>],
        left: &BTreeSet<String>,
        lives: &BTreeMap<String, Life>,
        faults: &[Fault],
    ) -> Vec<String> {
        let (witness, sent) = (self.account.witness.seen(), self.account.sqs.repeats());
        let repeats: Vec<_> = sent.iter().filter_map(|body| serde_json::from_str(body).ok()).collect();
        let has = |is_it: fn(&Circumstance) -> bool| self.circumstances.iter().any(is_it);
        let is_torn_down = has(|one| matches!(one, Circumstance::TornDown { .. }));
        let is_stopped = has(|one| matches!(one, Circumstance::Stopped(_)));
        let mut violations = Vec::new();
        for (Job { id, document, execution }, own) in self.jobs.iter().zip(outcomes) {
            let is_own = |life: &Life| life.job.as_deref().unwrap_or(JOB) == id;
            violations.extend(truth::check(&truth::Seen {
                job: id,
                document,
                execution,
                teardowns: &teardowns(&self.account, &self.stacks, id),
                is_clean: self.is_clean,
                is_stopped: self.stopped.contains(id)
                    || (id == JOB && (is_torn_down || (is_stopped && execution.status() == Status::Aborted))),
                is_disturbed: self.is_disturbed,
                outcome: own.as_ref(),
                all: outcomes,
                left,
                lives: &lives
                    .iter()
                    .filter(|(_, life)| is_own(life))
                    .map(|(task, life)| (task.as_str(), life))
                    .collect(),
                repeats: &repeats,
                creations: &witness.creations,
                refusals: &witness.refusals,
                faults,
                circumstances: &self.circumstances,
            }));
        }
        violations
    }

    /// What must hold of the account as a whole and does not, when every report has had its time.
    async fn of_whole(&self, lives: &BTreeMap<String, Life>, faults: &[Fault], calls: usize) -> Vec<String> {
        let Self { account, stacks, said, circumstances, jobs, .. } = self;
        let (queues, witness) = (drained(account, stacks).await, account.witness.seen());
        truth::check_whole(&truth::Whole {
            lives,
            faults,
            circumstances,
            written: &written(account, stacks),
            said: &[said.lines(), account.logs.lines(), account.bus.accepted()].concat(),
            tokens: &witness.tokens,
            touched: &witness.touched,
            jobs: jobs.len(),
            calls,
            queues: &queues,
            given_up: &given_up(account, stacks),
        })
    }

    /// Lets happen what is to happen while the job runs. What is given is over when that has begun.
    fn meanwhile(&self) -> Vec<impl Future<Output = Result<Option<Job>>> + use<>> {
        let begin = |(number, circumstance): (usize, &Circumstance)| {
            let after = match circumstance {
                Circumstance::Full { .. } => Duration::ZERO,
                Circumstance::Stopped(after) => Duration::from_millis(*after),
                Circumstance::Sweep(after)
                | Circumstance::Sweeps(after)
                | Circumstance::GuardDuty(after)
                | Circumstance::TornDown { after, .. }
                | Circumstance::Redeploy(after)
                | Circumstance::Neighbour { after, .. } => Duration::from_secs(*after),
                _ => return None,
            };
            let (account, stacks) = (self.account.clone(), self.stacks.clone());
            let execution = Arc::clone(&self.jobs[0].execution);
            let circumstance = circumstance.clone();
            let begun = tokio::spawn(async move {
                account.upstream.clock.sleep(after).await;
                match circumstance {
                    // What goes wrong may stop it: another one follows at the end.
                    Circumstance::Sweep(_) => _ = sweep(&account, &stacks[0]).await,
                    Circumstance::Sweeps(_) => {
                        _ = tokio::join!(sweep(&account, &stacks[0]), sweep(&account, &stacks[0]));
                    }
                    Circumstance::Stopped(_) if execution.status() == Status::Running => {
                        account.step_functions.engine.stop(&execution, None, None);
                    }
                    Circumstance::TornDown { times, .. } => {
                        for _ in 0..times {
                            tear_down(&account, &stacks[0]).await?;
                        }
                    }
                    Circumstance::Full { what, until } => {
                        let taken = Taken::all(&account.root(), what).await;
                        account.upstream.clock.sleep(Duration::from_secs(until)).await;
                        taken.give_back().await?;
                    }
                    Circumstance::GuardDuty(_) => {
                        for vpc in vpcs(&account) {
                            // The VPC may be going just now.
                            _ = guard(&account.root(), &vpc).await;
                        }
                    }
                    Circumstance::Redeploy(_) => account.publish(&stacks[0]),
                    Circumstance::Neighbour { mode, elsewhere, .. } => {
                        let (id, stack) = (format!("job-{}", number + 1), &stacks[usize::from(elsewhere)]);
                        let document = draw::clean(&mode);
                        let execution = start(&account, stack, &id, &document).await?;
                        return Ok(Some(Job::of(&id, &execution)?));
                    }
                    _ => {}
                }
                Ok(None)
            });
            Some(async move { begun.await? })
        };
        self.circumstances.iter().enumerate().filter_map(begin).collect()
    }
}

/// The job's VPCs.
fn vpcs(account: &Account) -> Vec<String> {
    let creations = account.witness.seen().creations.into_iter();
    let is_it = |creation: &Creation| {
        creation.action == "CreateVpc" && creation.job.as_deref() == Some(JOB) && creation.gone.is_none()
    };
    creations.filter(is_it).map(|creation| creation.id).collect()
}

/// Has the job torn down, as anybody may.
async fn tear_down(account: &Account, stack: &Stack) -> Result<()> {
    let machine = stack.arn("TearDownStateMachine");
    let input = json!({ "job": JOB }).to_string();
    let started = account.step_functions.engine.start(machine, None, Some(&input)).await;
    started.map(drop).map_err(|error| anyhow::anyhow!("{}: {}", error.code, error.message))
}

/// The teardown that a job's own execution calls.
pub fn teardown(account: &Account, stack: &Stack, job: &str) -> Option<Arc<Execution>> {
    let name = Names::new(&stack.name, job).teardown();
    let all = account.step_functions.engine.executions(stack.arn("TearDownStateMachine"));
    all.into_iter().find(|execution| execution.name == name)
}

/// The times that an execution of `machine` was in a state that takes some, since `start`.
fn visits(machine: &str, execution: &Execution, start: Timestamp) -> Vec<Visit> {
    let mut visits: Vec<Visit> = Vec::new();
    let start = start.as_duration().as_secs_f64();
    for event in execution.events() {
        let view = event.view(false);
        let kind = view["type"].as_str().unwrap_or_default();
        // Half a millisecond more, as the next line takes the fraction away.
        let after = view["timestamp"].as_f64().unwrap_or_default() - start + 0.0005;
        let after = Duration::try_from_secs_f64(after).unwrap_or_default().as_millis();
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        let named = |details: &str| view[details]["name"].as_str().unwrap_or_default().to_owned();
        if matches!(kind, "TaskStateEntered" | "WaitStateEntered") {
            let state = named("stateEnteredEventDetails");
            visits.push(Visit { machine: machine.to_owned(), state, from: after, until: None });
        } else if kind.ends_with("StateExited") {
            let state = named("stateExitedEventDetails");
            // A state is in one branch of the machine, so its times are one after the other.
            let is_it = |visit: &&mut Visit| visit.state == state && visit.until.is_none();
            if let Some(visit) = visits.iter_mut().find(is_it) {
                visit.until = Some(after);
            }
        }
    }
    visits
}

/// An account in which everything random comes from `seed`, and what plays its containers.
pub(crate) fn account(
    seed: u64,
    quotas: Quotas,
    faults: &Faults,
    circumstances: &[Circumstance],
    director: Arc<dyn Director>,
) -> (Account, Stage) {
    let images = [
        // In the repository of whichever stack, by either name of its registry.
        (":default", Image::Worker),
        (":worker", Image::Init),
        (SERVICE_IMAGE, Image::Service),
        (SERVICE_IMAGE_IN_REGION, Image::Service),
    ];
    let images = images.map(|(name, image)| (name.to_owned(), image)).into();
    let upstream = account::upstream(seed);
    let objects = Objects::default();
    let upstream_of_stage = upstream.0.clone();
    let stage =
        Stage::new(StageConfig { upstream: upstream_of_stage, images, director, objects: objects.clone() });
    let account = Account::new(account::Config {
        upstream,
        quotas,
        fates: Arc::new(faults.clone()),
        runs: Arc::new(faults.clone()),
        runtime: Arc::new(stage.clone()),
        objects,
        circumstances: circumstances.to_vec(),
    });
    stage.ask(account.ecs.agent());
    (account, stage)
}

/// Starts a job of a stack.
///
/// # Errors
/// Where Step Functions refuses it.
pub async fn start(account: &Account, stack: &Stack, job: &str, document: &Value) -> Result<Arc<Execution>> {
    let mut document = document.to_string().replace("${Job}", job);
    for (logical, resource) in &stack.physical {
        document = document.replace(&format!("${{{logical}}}"), &resource.id);
    }
    let machine = stack.arn("RunJobStateMachine");
    let started = account.step_functions.engine.start(machine, Some(job), Some(&document)).await;
    let started = started.map_err(|error| anyhow::anyhow!("{}: {}", error.code, error.message))?;
    account.witness.owns(job, &started.arn);
    Ok(started)
}

/// Waits until no teardown runs.
async fn torn_down(account: &Account, stacks: &[Stack]) {
    let clock = account.upstream.clock;
    let deadline = clock.instant() + PATIENCE;
    let runs = || {
        let of = |stack: &Stack| account.step_functions.engine.executions(stack.arn("TearDownStateMachine"));
        stacks.iter().flat_map(of).any(|execution| execution.status() == Status::Running)
    };
    while runs() && clock.instant() < deadline {
        clock.sleep(LOOK).await;
    }
}

/// The executions that tore `job` down.
fn teardowns(account: &Account, stacks: &[Stack], job: &str) -> Vec<Arc<Execution>> {
    let is_of_job = |execution: &Arc<Execution>| {
        let input: Value = serde_json::from_str(&execution.input).unwrap_or_default();
        input["job"] == job
    };
    let of = |stack: &Stack| account.step_functions.engine.executions(stack.arn("TearDownStateMachine"));
    stacks.iter().flat_map(of).filter(is_of_job).collect()
}

/// The stacks' queues and what is in them, when there is nothing or all has had its time.
async fn drained(account: &Account, stacks: &[Stack]) -> Vec<(String, Depth)> {
    let queues = ["DoneQueue", "DoneDeadLetterQueue"];
    let arns = || stacks.iter().flat_map(|stack| queues.map(|queue| stack.arn(queue)));
    let depths = || -> Vec<_> {
        let names = arns().filter_map(|arn| arn.rsplit(':').next());
        names.map(|name| (name.to_owned(), account.sqs.depth(name))).collect()
    };
    let deadline = account.upstream.clock.instant() + HANDLED;
    while depths().iter().any(|(_, depth)| *depth != Depth::default())
        && account.upstream.clock.instant() < deadline
    {
        account.upstream.clock.sleep(LOOK).await;
    }
    depths()
}

/// The functions that never handled an event although they were called, by their folders.
fn given_up(account: &Account, stacks: &[Stack]) -> Vec<String> {
    let functions: Vec<_> = stacks.iter().flat_map(|stack| &stack.functions).collect();
    let folder = |arn: &str| functions.iter().find(|function| function.arn == arn);
    let dropped = account.bus.dropped().into_iter();
    dropped
        .map(|dropped| folder(&dropped.target).map_or(dropped.target.clone(), |known| known.folder.clone()))
        .collect()
}

/// Calls sweep-expired as its schedule does.
async fn sweep(account: &Account, stack: &Stack) -> Result<()> {
    let event = include_str!("../../../events/sweep-expired.json");
    let ran = account.lambda.invoke(stack.arn("SweepExpiredFunction"), event).await;
    let ran = ran.map_err(|error| anyhow::anyhow!("the sweep was not run: {error:?}"))?;
    anyhow::ensure!(matches!(ran, crate::lambda::Ran::Answered(_)), "the sweep failed: {ran:?}");
    Ok(())
}

/// The outcome in the execution's output, or in the cause of its failure.
pub fn outcome(execution: &Execution) -> Option<Outcome> {
    let (ending, _) = execution.ending()?;
    let text = ending.output.or(ending.cause)?;
    serde_json::from_str(&text).ok()
}

/// The executions of all machines.
fn all_executions(account: &Account, stacks: &[Stack]) -> impl Iterator<Item = Arc<Execution>> {
    let of =
        |stack: &Stack| ["RunJobStateMachine", "TearDownStateMachine"].map(|name| stack.arn(name).to_owned());
    let machines = stacks.iter().flat_map(of);
    machines.flat_map(|arn| account.step_functions.engine.executions(&arn))
}

/// Everything that anybody can read who may look at executions.
fn written(account: &Account, stacks: &[Stack]) -> Vec<String> {
    let events = all_executions(account, stacks).flat_map(|execution| execution.events());
    events.map(|event| event.view(true).to_string()).collect()
}

/// Everything that happened: calls and the histories of all executions as canonical JSON, and then what the console lists of
/// these: what was done, where, and what failed with which words.
fn trace(account: &Account, stacks: &[Stack]) -> Vec<String> {
    let calls = account.calls.snapshot();
    let mut lines: Vec<_> = calls.into_iter().map(|call| json!({ "call": call }).to_string()).collect();
    for execution in all_executions(account, stacks) {
        for event in execution.events() {
            lines.push(json!({ "of": execution.arn, "event": event.view(true) }).to_string());
        }
    }
    for execution in all_executions(account, stacks) {
        lines.push(execution.arn.clone());
        for event in execution.events() {
            let view = event.view(true);
            let (kind, seconds) = (view["type"].as_str().unwrap_or_default(), view["timestamp"].as_f64());
            let since = seconds.unwrap_or_default() - execution.started.as_duration().as_secs_f64();
            let details =
                view.as_object().into_iter().flatten().find(|(name, _)| name.ends_with("EventDetails"));
            let text =
                |name: &str| details.and_then(|(_, details)| details[name].as_str()).unwrap_or_default();
            let is_told = kind.ends_with("StateEntered") || !text("error").is_empty();
            if is_told || kind.starts_with("Execution") {
                let told = [text("name"), text("error"), text("cause")].join(" ");
                lines.push(format!("{since:>9.1} s  {kind:<24} {}", told.trim()));
            }
        }
    }
    lines
}
