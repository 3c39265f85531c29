//! An account with the stack in it, and what is to go wrong there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use local_ecs::Rule;
use local_states::execution::{Execution, Status};
use mayfly_model::message::Assignment;
use mayfly_simulation::account::{JOB, Quotas};
use mayfly_simulation::circumstance::Circumstance;
use mayfly_simulation::draw;
use mayfly_simulation::faults::{Fault, Faults};
use mayfly_simulation::run::{Run, Scenario, teardown};
use mayfly_stand_ins::worker::{Behaviour, Director};
use serde_json::{Value, json};

use crate::support::containers::{doing, works};
use crate::support::course::Course;
use crate::support::history::{has_met, history, states_entered};

/// The longest silence of a container, in seconds.
pub const HEARTBEAT_SECONDS: u32 = 200;
/// How long a test waits for something that it expects.
const PATIENCE: Duration = Duration::from_hours(12);
/// The pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The same for a state that a test wants to catch, shorter than any of them lasts.
const GLANCE: Duration = Duration::from_millis(5);

/// What is to go wrong.
#[derive(Debug)]
pub struct Scene(Scenario);

/// A stack in which nothing goes wrong, and whose containers are done within seconds.
pub fn scene() -> Scene {
    let mut scenario = draw::of_mode("public", Vec::new(), Vec::new());
    scenario.parameters.push(("HeartbeatSeconds", HEARTBEAT_TEXT));
    scenario.director = doing(|_| works(5));
    Scene(scenario)
}

/// As the stack's parameter has it.
const HEARTBEAT_TEXT: &str = "200";

impl Scene {
    /// With these faults of the job's tasks.
    pub fn tasks(self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.around(rules.into_iter().map(Circumstance::Tasks))
    }

    /// With this around it.
    pub fn around(mut self, circumstances: impl IntoIterator<Item = Circumstance>) -> Self {
        self.0.circumstances.extend(circumstances);
        self
    }

    /// With these faults of functions and their calls.
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.0.faults = Faults::chosen(faults);
        self
    }

    /// With workers that make of each order what `play` says.
    pub fn containers(self, play: impl Fn(&Assignment) -> Behaviour + Send + Sync + 'static) -> Self {
        self.directed(doing(play))
    }

    /// With containers that do what `director` says, which need not be what they should.
    pub fn directed(mut self, director: Arc<dyn Director>) -> Self {
        self.0.director = director;
        self.0.is_clean = false;
        self
    }

    /// In an account that may have this.
    pub fn quotas(mut self, quotas: Quotas) -> Self {
        self.0.quotas = quotas;
        self
    }

    /// With this parameter of the stack.
    pub fn parameter(mut self, name: &'static str, value: &'static str) -> Self {
        self.0.parameters.push((name, value));
        self
    }

    /// Deploys the stack.
    pub async fn begin(self) -> Result<World> {
        Ok(World { run: Box::pin(Run::begin(&self.0)).await?, denied: Vec::new() })
    }

    /// Runs one job to its end, and looks at what must hold of every one.
    pub async fn run(self, document: &Value) -> Result<Course> {
        let mut world = self.begin().await?;
        world.start(JOB, document).await?;
        let course = world.course(JOB).await?;
        world.finish().await?;
        Ok(course)
    }
}

/// An account with the stack in it.
#[derive(Debug)]
pub struct World {
    /// What goes on in it.
    pub run: Run,
    /// The roles that were denied something.
    pub(super) denied: Vec<String>,
}

impl World {
    /// Tears a job down as a person does; gives the execution.
    pub async fn tear_down(&self, job: &str) -> Result<Arc<Execution>> {
        let (engine, machine) =
            (&self.run.account.step_functions.engine, self.run.stacks[0].arn("TearDownStateMachine"));
        let name = format!("{job}-{}", engine.executions(machine).len());
        let started = engine.start(machine, Some(&name), Some(&json!({ "job": job }).to_string())).await;
        started.map_err(|error| anyhow!("{}: {}", error.code, error.message))
    }

    /// Starts a job.
    pub async fn start(&mut self, job: &str, document: &Value) -> Result<Arc<Execution>> {
        self.run.start(job, document).await
    }

    /// Waits for the end of all that was started, and makes sure of what must hold in every run.
    pub async fn finish(self) -> Result<()> {
        let report = Box::pin(self.run.finish(false)).await?;
        ensure!(report.violations.is_empty(), "{:#?}", report.violations);
        ensure!(report.left.is_empty(), "left before any sweep: {:#?}", report.left);
        Ok(())
    }

    /// Waits until the execution, which goes on, has entered `state`.
    pub async fn entered(&self, execution: &Execution, state: &str) -> Result<()> {
        let what = format!("{} to enter {state}", execution.name);
        self.until_at_pace(GLANCE, &what, async || {
            let has_entered = states_entered(&history(execution)).any(|name| name == state);
            ensure!(execution.status() == Status::Running, "{} has ended before {state}", execution.name);
            Ok(has_entered.then_some(()))
        })
        .await
    }

    /// Waits until a step of the execution has failed with `error`.
    pub async fn has_met(&self, execution: &Execution, error: &str) -> Result<()> {
        self.until(&format!("{} to meet {error}", execution.name), async || {
            Ok(has_met(&history(execution), error).then_some(()))
        })
        .await
    }

    /// Waits for the teardown that the job's own execution calls.
    pub async fn teardown(&self, job: &str) -> Result<Arc<Execution>> {
        let look = async || Ok(teardown(&self.run.account, &self.run.stacks[0], job));
        self.until_at_pace(GLANCE, &format!("the teardown of {job}"), look).await
    }

    /// Looks again and again until there is something to see.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        self.until_at_pace(LOOK_AGAIN, what, look).await
    }

    async fn until_at_pace<T>(
        &self,
        pause: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let clock = self.run.account.upstream.clock;
        let deadline = clock.instant() + PATIENCE;
        loop {
            if let Some(seen) = look().await.with_context(|| what.to_owned())? {
                return Ok(seen);
            }
            ensure!(clock.instant() < deadline, "waited {} s in vain for {what}", PATIENCE.as_secs());
            clock.sleep(pause).await;
        }
    }
}
