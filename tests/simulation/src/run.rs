//! One run: a job from its start until nothing of it is left, or until it is plain that something will be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use local_states::execution::{Event, Execution, Status};
use mayfly_model::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::account::{Account, JOB, Quotas};
use crate::circumstance::Circumstance;
use crate::draw::{SERVICE_IMAGE, WORKER_IMAGE, WORKER_IMAGE_BY_IPV6};
use crate::faults::{Fault, Faults, Made};
use crate::stack::Stack;
use crate::worker::{Config as StageConfig, Director, Image, Life, Stage};
use crate::{account, draw, left, truth};

/// The name of the stack.
pub(crate) const STACK: &str = "mayfly";
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

/// What is run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What everything random comes from.
    pub seed: u64,
    /// The job's document.
    pub document: Value,
    /// The parameters of the stack.
    pub parameters: Vec<(&'static str, &'static str)>,
    /// What goes wrong between functions and AWS.
    pub faults: Faults,
    /// What goes wrong around them.
    pub circumstances: Vec<Circumstance>,
    /// When the execution is stopped by somebody: as soon as it enters this state, for the so-many-th time.
    pub stop: Option<(String, usize)>,
    /// What the containers do.
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
    /// The calls and runs of functions, in order.
    pub made: Vec<Made>,
    /// The states that the job's execution entered, in order.
    pub states: Vec<String>,
    /// How long it took from start to end, in seconds of the cloud.
    pub seconds: f64,
    /// All that happened, in lines, where that was asked for.
    #[serde(skip)]
    pub trace: Vec<String>,
}

/// Runs `scenario`, and tells all that happens if it is to.
///
/// # Errors
/// Where the account could not be set up or looked at.
pub async fn play(scenario: Scenario, with_trace: bool) -> Result<Report> {
    let Scenario { seed, document, parameters, faults, circumstances, stop, director } = scenario;
    let (faults, circumstances) = (&faults, circumstances.as_slice());
    let (account, stage) = account(seed, Quotas::default(), faults, circumstances, director);
    let mut stacks = vec![account.deploy(STACK, &parameters).await?];
    if circumstances.iter().any(|one| matches!(one, Circumstance::Neighbour { elsewhere: true, .. })) {
        stacks.push(account.deploy(OTHER_STACK, &parameters).await?);
    }
    let before = left::everything(&account.root()).await?;
    account.witness.forget();

    let execution = start(&account, &stacks[0], JOB, &document).await?;
    let begun = account.upstream.clock.instant();
    let around = meanwhile(&account, &stacks, circumstances);
    let mut violations = Vec::new();
    let is_stopped = stop.is_some();
    if !ended(&account, &execution, stop).await {
        violations.push(format!("the execution has not ended after {} hours", PATIENCE.as_secs() / 3600));
    }
    let seconds = (account.upstream.clock.instant() - begun).as_secs_f64();
    let mut executions = vec![(JOB.to_owned(), execution)];
    for neighbour in around {
        let Some((job, execution)) = neighbour.await? else { continue };
        ended(&account, &execution, None).await;
        executions.push((job, execution));
    }
    account.upstream.clock.sleep(RULE).await;
    faults.lift();
    torn_down(&account, &stacks).await;
    let left: BTreeSet<_> = &left::everything(&account.root()).await? - &before;
    let (creations, lives) = (account.witness.creations(), stage.truth().lives());
    let (faulty, written) = (faults.done(), written(&account, &stacks));
    let mut outcomes: Vec<_> = executions.iter().map(|(_, execution)| outcome(execution)).collect();
    for ((job, execution), own) in executions.iter().zip(&outcomes) {
        let is_own = |life: &Life| life.job.as_deref().unwrap_or(JOB) == job;
        violations.extend(truth::check(&truth::Seen {
            job,
            execution,
            is_stopped: is_stopped && job == JOB,
            outcome: own.as_ref(),
            all: &outcomes,
            left: &left,
            lives: &lives
                .iter()
                .filter(|(_, life)| is_own(life))
                .map(|(task, life)| (task.as_str(), life))
                .collect(),
            creations: &creations,
            faults: &faulty,
            circumstances,
            written: &written,
        }));
    }

    if !left.is_empty() {
        // The sweeper leaves what has just ended to the rule.
        account.upstream.clock.sleep(GRACE).await;
    }
    for stack in &stacks {
        sweep(&account, stack).await?;
    }
    torn_down(&account, &stacks).await;
    account.upstream.clock.sleep(RULE).await;
    let left: BTreeSet<_> = &left::everything(&account.root()).await? - &before;
    violations.extend(left.iter().map(|what| format!("left after a sweep: {what}")));
    let execution = &executions[0].1;
    Ok(Report {
        violations,
        outcome: outcomes.swap_remove(0).map(|outcome| json!(outcome)),
        status: format!("{:?}", execution.status()),
        faults: faulty,
        circumstances: circumstances.to_vec(),
        made: faults.made(),
        states: entered(&execution.events()).collect(),
        seconds,
        trace: if with_trace { trace(&account, &stacks) } else { Vec::new() },
    })
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
        (WORKER_IMAGE, Image::Worker),
        (WORKER_IMAGE_BY_IPV6, Image::Worker),
        (SERVICE_IMAGE, Image::Service),
    ];
    let images = images.map(|(name, image)| (name.to_owned(), image)).into();
    let upstream = account::upstream(seed);
    let stage = Stage::new(StageConfig { upstream: upstream.0.clone(), images, director });
    let account = Account::new(account::Config {
        upstream,
        quotas,
        fates: Arc::new(faults.clone()),
        runs: Arc::new(faults.clone()),
        runtime: Arc::new(stage.clone()),
        circumstances: circumstances.to_vec(),
    });
    stage.ask(account.ecs.agent());
    (account, stage)
}

/// Starts a job of a stack.
pub(crate) async fn start(
    account: &Account,
    stack: &Stack,
    job: &str,
    document: &Value,
) -> Result<Arc<Execution>> {
    let mut document = document.to_string();
    for (logical, resource) in &stack.physical {
        document = document.replace(&format!("${{{logical}}}"), &resource.id);
    }
    let machine = stack.arn("RunJobStateMachine");
    let started = account.step_functions.engine.start(machine, Some(job), Some(&document)).await;
    started.map_err(|error| anyhow::anyhow!("{}: {}", error.code, error.message))
}

/// A job beside the one that a run is about: its id, and its execution.
type Neighbour = (String, Arc<Execution>);

/// Lets happen what is to happen while the job runs. What is given is over when that has begun.
fn meanwhile(
    account: &Account,
    stacks: &[Stack],
    circumstances: &[Circumstance],
) -> Vec<impl Future<Output = Result<Option<Neighbour>>> + use<>> {
    let begin = |(number, circumstance): (usize, &Circumstance)| {
        let after = match circumstance {
            Circumstance::Sweep(after)
            | Circumstance::Redeploy(after)
            | Circumstance::Neighbour { after, .. } => *after,
            _ => return None,
        };
        let (account, stacks, circumstance) = (account.clone(), stacks.to_vec(), circumstance.clone());
        let begun = tokio::spawn(async move {
            account.upstream.clock.sleep(Duration::from_secs(after)).await;
            match circumstance {
                // What goes wrong may stop it: another one follows at the end.
                Circumstance::Sweep(_) => _ = sweep(&account, &stacks[0]).await,
                Circumstance::Redeploy(_) => account.publish(&stacks[0]),
                Circumstance::Neighbour { mode, elsewhere, .. } => {
                    let (job, stack) = (format!("job-{}", number + 1), &stacks[usize::from(elsewhere)]);
                    let execution = start(&account, stack, &job, &draw::clean(&mode)).await?;
                    return Ok(Some((job, execution)));
                }
                _ => {}
            }
            Ok(None)
        });
        Some(async move { begun.await? })
    };
    circumstances.iter().enumerate().filter_map(begin).collect()
}

/// Whether the execution ends while there is patience; stopped, where it is to be.
async fn ended(account: &Account, execution: &Execution, mut stop: Option<(String, usize)>) -> bool {
    let clock = account.upstream.clock;
    let deadline = clock.instant() + PATIENCE;
    let mut seen = 0;
    while execution.status() == Status::Running {
        if clock.instant() > deadline {
            return false;
        }
        let look = if stop.is_some() { Duration::from_millis(20) } else { LOOK };
        clock.sleep(look).await;
        if let Some((state, visit)) = &mut stop {
            let events = execution.events();
            let again = entered(&events[seen..]).filter(|name| name == state).count();
            seen = events.len();
            if again > *visit {
                stop = None;
                account.step_functions.engine.stop(execution, None, None);
            } else {
                *visit -= again;
            }
        }
    }
    true
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

/// Calls sweep-expired as its schedule does.
async fn sweep(account: &Account, stack: &Stack) -> Result<()> {
    let event = include_str!("../../../events/sweep-expired.json");
    let ran = account.lambda.invoke(stack.arn("SweepExpiredFunction"), event).await;
    let ran = ran.map_err(|error| anyhow::anyhow!("the sweep was not run: {error:?}"))?;
    anyhow::ensure!(matches!(ran, crate::lambda::Ran::Answered(_)), "the sweep failed: {ran:?}");
    Ok(())
}

/// The outcome in the execution's output, or in the cause of its failure.
fn outcome(execution: &Execution) -> Option<Outcome> {
    let (ending, _) = execution.ending()?;
    let text = ending.output.or(ending.cause)?;
    serde_json::from_str(&text).ok()
}

/// The names of the states that these events entered.
fn entered(events: &[Event]) -> impl Iterator<Item = String> {
    let name =
        |event: &Event| event.view(false)["stateEnteredEventDetails"]["name"].as_str().map(str::to_owned);
    events.iter().filter_map(name)
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
