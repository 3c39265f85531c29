//! The default event bus of the account, Lambda's queues of asynchronous invocations, and EventBridge Scheduler.

mod asynchronous;
mod put;
mod retry;
mod rule;
mod schedule;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_eventbridge::types::Target;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use local_aws::events::{Events, event};
use local_aws::transform;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bus::retry::Retry;
use crate::json::Surroundings;

pub use crate::bus::rule::Rule;
pub use crate::bus::schedule::Schedule;

/// How long an event is under way at most, where nothing is wrong. A guess: the EventBridge user guide has no bound.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// What rules and schedules call.
pub trait Targets: Debug + Send + Sync {
    /// Whether Lambda takes an asynchronous invocation of `function` from `caller`: the ARN of a rule, which the function's own
    /// policy has to admit, or of a role, whose policies have to.
    ///
    /// # Errors
    /// Why it does not, which another try would not change.
    fn admits<'a>(&'a self, function: &'a str, caller: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// Runs a function and waits for its end.
    fn run<'a>(&'a self, function: &'a str, payload: &'a str) -> BoxFuture<'a, Run>;

    /// Starts an execution of `machine` as `role`.
    fn start_execution<'a>(
        &'a self,
        role: &'a str,
        machine: &'a str,
        name: &'a str,
        input: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;

    /// Sends a message to a queue or a topic, whose own policy has to admit the rule `caller`.
    fn send<'a>(
        &'a self,
        to: &'a str,
        message: &'a str,
        caller: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// What came of a try to run a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// It ended well.
    Done,
    /// It threw, or was ended.
    Threw(String),
    /// It was not run, for now: it was throttled, or Lambda itself failed.
    Throttled,
}

/// Why a target was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Another try may help.
    ForNow(String),
    /// No other try would: the target is gone, or does not admit the caller.
    ForGood(String),
}

/// Decides what becomes of each event beyond what EventBridge's retries are for.
pub trait Delivery: Debug + Send + Sync {
    /// How much later than usual each copy of it comes; none where it is lost.
    fn copies(&self, event: &Value) -> Vec<Duration>;
}

/// What the bus works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it works with like the others.
    pub around: Surroundings,
    /// What rules and schedules call.
    pub targets: Arc<dyn Targets>,
    /// What becomes of events.
    pub delivery: Arc<dyn Delivery>,
}

/// An event that a target never had to the end, and no dead-letter queue has either.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// When it was given up.
    pub at: Timestamp,
    /// The target's ARN.
    pub target: String,
    /// What it was to be sent.
    pub input: String,
    /// Why it was given up.
    pub why: String,
}

/// The bus with its rules and the schedules. Clones share one state.
#[derive(Clone, Debug)]
pub struct Bus {
    config: Config,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// By their ARNs, as the schedules.
    rules: BTreeMap<String, Rule>,
    schedules: BTreeMap<String, DropGuard>,
    dropped: Vec<Dropped>,
    /// What was put on the bus, as JSON.
    accepted: Vec<String>,
}

impl Bus {
    /// A bus without rules.
    pub fn new(config: Config) -> Self {
        Self { config, state: Arc::default() }
    }

    /// Makes a rule, or changes it.
    pub fn put_rule(&self, rule: Rule) {
        self.state().rules.insert(rule.named.arn.clone(), rule);
    }

    /// Forgets a rule. What is on its way to its targets arrives.
    pub fn delete_rule(&self, arn: &str) {
        self.state().rules.remove(arn);
    }

    /// Makes a schedule, or changes it, which begins anew then.
    pub fn put_schedule(&self, schedule: Schedule) {
        let (arn, end) = (schedule.arn.clone(), CancellationToken::new());
        let keeps = self.clone().keep(schedule);
        let ended = end.clone();
        tokio::spawn(async move { ended.run_until_cancelled(keeps).await });
        self.state().schedules.insert(arn, end.drop_guard());
    }

    /// Ends a schedule.
    pub fn delete_schedule(&self, arn: &str) {
        self.state().schedules.remove(arn);
    }

    /// What has been given up so far, oldest first.
    pub fn dropped(&self) -> Vec<Dropped> {
        self.state().dropped.clone()
    }

    /// What has been put on the bus so far, as JSON, oldest first.
    pub fn accepted(&self) -> Vec<String> {
        self.state().accepted.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Sends an event on its way.
    fn accept(&self, event: &Value) {
        self.state().accepted.push(event.to_string());
        for late in self.config.delivery.copies(event) {
            let (bus, event) = (self.clone(), event.clone());
            let usual = UNDER_WAY.mul_f64(self.config.around.upstream.random.value());
            tokio::spawn(async move {
                bus.config.around.upstream.clock.sleep(usual + late).await;
                bus.apply_rules(&event);
            });
        }
    }

    /// Calls the targets of every rule that matches, side by side.
    fn apply_rules(&self, event: &Value) {
        let state = self.state();
        for rule in state.rules.values().filter(|rule| rule.pattern.matches(event)) {
            for target in &rule.targets {
                match transform::input(target, &rule.named, event) {
                    Ok(input) => {
                        let name = format!(
                            "{}_{}",
                            event["id"].as_str().unwrap_or_default(),
                            self.config.around.upstream.random.uuid()
                        );
                        let delivery =
                            self.clone().deliver(target.clone(), rule.named.arn.clone(), input, name);
                        tokio::spawn(delivery);
                    }
                    Err(why) => tracing::error!(rule = rule.named.name, why, "a target gets no input"),
                }
            }
        }
    }

    /// Delivers one input to one target, as its retry policy says.
    async fn deliver(self, target: Target, rule: String, input: String, name: String) {
        let policy = target.retry_policy.as_ref();
        let mut retry = Retry::of_events(
            &self.config.around.upstream,
            policy.and_then(|policy| policy.maximum_retry_attempts),
            policy.and_then(|policy| policy.maximum_event_age_in_seconds),
        );
        let why = loop {
            match self.call(&target, &rule, &input, &name).await {
                Ok(()) => return,
                Err(Undelivered::ForGood(why)) => break why,
                Err(Undelivered::ForNow(why)) if !retry.again().await => break why,
                Err(Undelivered::ForNow(_)) => {}
            }
        };
        let dead_letters = target.dead_letter_config.as_ref().and_then(|config| config.arn.as_deref());
        if let Some(queue) = dead_letters
            && self.config.targets.send(queue, &input, &rule).await.is_ok()
        {
            return;
        }
        self.drop_input(&target.arn, input, why);
    }

    async fn call(&self, target: &Target, rule: &str, input: &str, name: &str) -> Result<(), Undelivered> {
        let (targets, arn) = (&self.config.targets, target.arn.as_str());
        match arn.split(':').nth(2) {
            Some("lambda") => {
                targets.admits(arn, rule).await.map_err(Undelivered::ForGood)?;
                self.invoke_asynchronously(arn, input);
                Ok(())
            }
            Some("states") => {
                let role = target.role_arn.as_deref();
                let role = role.ok_or_else(|| Undelivered::ForGood("the target has no role".to_owned()))?;
                // One name for all tries, so that an execution whose answer was lost is not started twice.
                targets.start_execution(role, arn, name, input).await
            }
            _ => targets.send(arn, input, rule).await,
        }
    }

    fn drop_input(&self, target: &str, input: String, why: String) {
        tracing::warn!(target, why, "an event was given up");
        let at = self.config.around.upstream.clock.now();
        self.state().dropped.push(Dropped { at, target: target.to_owned(), input, why });
    }
}

impl Events for Bus {
    fn put(&self, source: &str, detail_type: &str, resources: Vec<String>, detail: Value) {
        self.accept(&event(&self.config.around.upstream, source, detail_type, &resources, &detail));
    }
}
