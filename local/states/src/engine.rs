//! All executions: starting them, finding them, ending them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use local_aws::auth::{Caller, Guard};
use local_aws::clock::Clock;
use local_aws::policy::Context;
use local_aws::random::Random;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::callback::Tokens;
use crate::error::ApiError;
use crate::execution::{Ending, Execution, Machine, Status};
use crate::language::failure::Failure;
use crate::language::fault::PAYLOAD_LIMIT;
use crate::language::parse;
use crate::language::resource::Resource;
use crate::run::Run;
use crate::world::{Source, World};

/// The rule through which AWS learns of the end of a nested execution
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html#sync-async-iam-policies>).
const NESTED_RULE: &str = "StepFunctionsGetEventsForStepFunctionsExecutionRule";

/// What an end follows that comes from outside the run: no event (recorded for ExecutionAborted; ExecutionTimedOut comes
/// the same way).
const FROM_OUTSIDE: Option<u64> = Some(0);

/// Runs machines.
#[derive(Debug)]
pub struct Engine<W> {
    /// Everything outside.
    pub world: W,
    /// Who may do what.
    pub guard: Guard,
    /// The time. A task that waits for its token is at work from its first heartbeat on.
    pub clock: Clock,
    /// Where ids, tokens and jitter come from.
    pub random: Random,
    /// The task tokens.
    pub tokens: Tokens,
    machines: Mutex<HashMap<String, Arc<Machine>>>,
    executions: Mutex<HashMap<String, Arc<Execution>>>,
    pub(crate) abandoned: CancellationToken,
}

impl<W: World> Engine<W> {
    /// An engine without executions.
    pub fn new(world: W, guard: Guard, clock: Clock, random: Random) -> Arc<Self> {
        Arc::new(Self {
            world,
            guard,
            clock,
            tokens: Tokens::new(random.clone()),
            random,
            machines: Mutex::default(),
            executions: Mutex::default(),
            abandoned: CancellationToken::new(),
        })
    }

    /// Drops whatever runs, without a word in its history, and whatever is started from now on.
    pub fn abandon(&self) {
        self.abandoned.cancel();
    }

    /// The ARNs of all machines.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn machine_arns(&self) -> Result<Vec<String>, ApiError> {
        self.world.machines().await.map_err(|error| internal(&error))
    }

    /// The machine of this ARN as deployed now, unread.
    ///
    /// # Errors
    /// `InvalidArn` for what is no machine's ARN, `StateMachineDoesNotExist`.
    pub async fn source(&self, arn: &str) -> Result<Source, ApiError> {
        place(arn)?;
        self.world.machine(arn).await.map_err(|error| internal(&error))?.ok_or_else(|| {
            ApiError::new("StateMachineDoesNotExist", format!("State Machine Does Not Exist: '{arn}'"))
        })
    }

    /// The machine of this ARN as deployed now, read and checked; a redeployed one is read anew.
    ///
    /// # Errors
    /// `StateMachineDoesNotExist`, or what is wrong with its definition.
    async fn machine(&self, arn: &str) -> Result<Arc<Machine>, ApiError> {
        let source = self.source(arn).await?;
        if let Some(machine) = lock(&self.machines).get(arn).filter(|machine| machine.source == source) {
            return Ok(Arc::clone(machine));
        }
        let definition = parse::definition(&source.definition).map_err(|problem| {
            ApiError::new("InvalidDefinition", format!("Invalid State Machine Definition: '{problem}'"))
        })?;
        if definition.scope.uses(Resource::StartExecutionSync) {
            self.check_managed_rule(&source.role, arn).await?;
        }
        let machine = Arc::new(Machine { source, definition });
        lock(&self.machines).insert(arn.to_owned(), Arc::clone(&machine));
        Ok(machine)
    }

    /// AWS makes the rule as the machine's role when it takes the machine in, and refuses a role that may not.
    async fn check_managed_rule(&self, role: &str, machine_arn: &str) -> Result<(), ApiError> {
        let [region, account] = place(machine_arn)?;
        let managed = format!("arn:aws:events:{region}:{account}:rule/{NESTED_RULE}");
        for right in ["events:PutTargets", "events:PutRule", "events:DescribeRule"] {
            self.authorize_role(role, right, &managed).await.map_err(|error| {
                let message = format!(
                    "'{role}' is not authorized to create managed-rule ({right}: {}).",
                    error.message
                );
                ApiError::new(error.code, message)
            })?;
        }
        Ok(())
    }

    /// Starts an execution of the machine, or finds the running one of this name and input.
    ///
    /// # Errors
    /// As StartExecution.
    pub async fn start(
        self: &Arc<Self>,
        machine_arn: &str,
        name: Option<&str>,
        input: Option<&str>,
    ) -> Result<Arc<Execution>, ApiError> {
        let machine = self.machine(machine_arn).await?;
        let [region, account] = place(machine_arn)?;
        let name = name.map_or_else(|| self.random.uuid().to_string(), str::to_owned);
        check_name(&name)?;
        let input = input.unwrap_or("{}").to_owned();
        let value = check_input(&input)?;
        let arn = format!("arn:aws:states:{region}:{account}:execution:{}:{name}", machine.source.name());

        let execution = {
            let mut executions = lock(&self.executions);
            if let Some(other) = executions.get(&arn) {
                // "If StartExecution is called with the same name and input as a running execution, the call
                // succeeds and returns the same response"; a name stays taken after the end (API reference).
                return if other.status() == Status::Running && other.input == input {
                    Ok(Arc::clone(other))
                } else {
                    Err(ApiError::new("ExecutionAlreadyExists", format!("Execution Already Exists: '{arn}'")))
                };
            }
            let execution = Arc::new(Execution::new(machine, arn.clone(), name, input, self.clock));
            executions.insert(arn, Arc::clone(&execution));
            execution
        };
        self.announce(&execution);
        tokio::spawn(Arc::clone(self).drive(Arc::clone(&execution), value));
        Ok(execution)
    }

    /// Runs an execution to its end. Dropping the run, whatever the reason, aborts everything that it has in flight.
    async fn drive(self: Arc<Self>, execution: Arc<Execution>, input: Value) {
        let time_out = async {
            match execution.machine.definition.timeout {
                Some(seconds) => self.clock.sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        let run = Run::new(Arc::clone(&self), Arc::clone(&execution));
        tokio::select! {
            biased;
            () = execution.ended.cancelled() => {}
            () = self.abandoned.cancelled() => {}
            (ending, previous) = run.execute(input) => self.end(&execution, ending, previous),
            // The machine's own TimeoutSeconds ends it without any Catch.
            () = time_out => {
                let ending = Ending { status: Status::TimedOut, output: None, error: None, cause: None };
                self.end(&execution, ending, FROM_OUTSIDE);
            }
        }
    }

    /// Stops an execution at once, at whatever depth it is; does nothing to one that has ended.
    pub fn stop(&self, execution: &Execution, error: Option<String>, cause: Option<String>) -> Timestamp {
        self.end(execution, Ending { status: Status::Aborted, output: None, error, cause }, FROM_OUTSIDE);
        execution.ending().map_or_else(|| self.clock.now(), |(_, stopped)| stopped)
    }

    fn end(&self, execution: &Execution, ending: Ending, previous: Option<u64>) {
        if execution.end(ending, previous) {
            self.announce(execution);
        }
    }

    fn announce(&self, execution: &Execution) {
        self.world.announce(&execution.arn, execution.announcement());
    }

    /// The execution of this ARN.
    ///
    /// # Errors
    /// `InvalidArn` for what is no execution's ARN, `ExecutionDoesNotExist`.
    pub fn execution(&self, arn: &str) -> Result<Arc<Execution>, ApiError> {
        if !matches!(arn.split(':').collect::<Vec<_>>()[..], ["arn", _, "states", _, _, "execution", _, _]) {
            return Err(invalid_arn(arn));
        }
        lock(&self.executions).get(arn).cloned().ok_or_else(|| {
            ApiError::new("ExecutionDoesNotExist", format!("Execution Does Not Exist: '{arn}'"))
        })
    }

    /// The executions of a machine, the newest first.
    pub fn executions(&self, machine_arn: &str) -> Vec<Arc<Execution>> {
        let mut list: Vec<_> = lock(&self.executions)
            .values()
            .filter(|execution| execution.machine.source.arn == machine_arn)
            .cloned()
            .collect();
        list.sort_by(|left, right| right.started.cmp(&left.started).then_with(|| left.arn.cmp(&right.arn)));
        list
    }

    /// Whether a machine's role may do `action` on `resource`.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub async fn authorize_role(&self, role: &str, action: &str, resource: &str) -> Result<(), ApiError> {
        let account = role.split(':').nth(4).unwrap_or_default();
        let name = role.rsplit('/').next().unwrap_or_default();
        let arn = format!("arn:aws:sts::{account}:assumed-role/{name}/StepFunctions");
        let caller = Caller { arn, role: Some(role.to_owned()), session_policy: None };
        Ok(self.guard.authorize(&caller, action, resource, &Context::new()).await?)
    }
}

/// Region and account of a machine's ARN.
fn place(machine_arn: &str) -> Result<[&str; 2], ApiError> {
    match machine_arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "states", region, account, "stateMachine", _] => Ok([region, account]),
        _ => Err(invalid_arn(machine_arn)),
    }
}

fn invalid_arn(arn: &str) -> ApiError {
    ApiError::new("InvalidArn", format!("Invalid Arn: '{arn}'"))
}

fn internal(error: &anyhow::Error) -> ApiError {
    tracing::error!(error = format!("{error:#}"), "state machines cannot be read");
    ApiError::new("InternalFailure", format!("{error:#}"))
}

/// "A name must not contain white space, brackets, wildcards, special or control characters" (API reference,
/// StartExecution), and has 1 to 80 characters.
fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"<>{}[]?*\"#%\\^|~`$&,;:/".contains(c);
    if (1..=80).contains(&name.chars().count()) && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(ApiError::new("InvalidName", format!("Invalid Name: '{name}'")))
    }
}

fn check_input(input: &str) -> Result<Value, ApiError> {
    let wrong = |reason: &str| {
        ApiError::new("InvalidExecutionInput", format!("Invalid State Machine Execution Input: '{reason}'"))
    };
    if input.len() > PAYLOAD_LIMIT {
        return Err(wrong(&format!("it has more than {PAYLOAD_LIMIT} bytes")));
    }
    serde_json::from_str(input).map_err(|error| wrong(&error.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds the engine's tables")
}

/// Ends as a machine sees them.
impl Ending {
    /// Of an execution that has gone through.
    pub fn of(outcome: Result<Value, Failure>) -> Self {
        match outcome {
            Ok(output) => {
                Self { status: Status::Succeeded, output: Some(output.to_string()), error: None, cause: None }
            }
            Err(failure) => {
                Self { status: Status::Failed, output: None, error: failure.error, cause: failure.cause }
            }
        }
    }
}
