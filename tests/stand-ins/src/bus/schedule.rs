//! EventBridge Scheduler.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use local_aws::events::event;
use serde_json::{Value, json};

use crate::bus::Bus;
use crate::bus::retry::Retry;
use crate::bus::rule::check;

/// Scheduler's precision: Scheduler user guide, "Schedule types", 60 seconds.
const PRECISION: Duration = Duration::from_mins(1);

/// A schedule with a rate that calls a function.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub(super) arn: String,
    every: Duration,
    window: Duration,
    function: String,
    role: String,
    attempts: Option<i32>,
    age: Option<i32>,
}

impl Schedule {
    /// The schedule `arn` with the properties of an `AWS::Scheduler::Schedule`, in which all functions have been carried out.
    ///
    /// # Errors
    /// Where they say what is not played here.
    pub fn new(arn: &str, properties: &Value) -> Result<Self> {
        check(properties, &["Description", "FlexibleTimeWindow", "Name", "ScheduleExpression", "Target"])?;
        let target = &properties["Target"];
        check(target, &["Arn", "RetryPolicy", "RoleArn"])?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        let policy = |name: &str| -> Result<Option<i32>> {
            Ok(target["RetryPolicy"][name].as_i64().map(i32::try_from).transpose()?)
        };
        Ok(Self {
            arn: arn.to_owned(),
            every: rate(&text(&properties["ScheduleExpression"])?)?,
            window: window(&properties["FlexibleTimeWindow"])?,
            function: text(&target["Arn"])?,
            role: text(&target["RoleArn"])?,
            attempts: policy("MaximumRetryAttempts")?,
            age: policy("MaximumEventAgeInSeconds")?,
        })
    }
}

/// `rate(1 hour)`: Scheduler user guide, "Schedule types", "Rate-based schedules".
fn rate(expression: &str) -> Result<Duration> {
    let inside = expression.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')'));
    let (value, unit) = inside.and_then(|inside| inside.split_once(' ')).context("it has no rate")?;
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 60 * 60,
        "day" => 24 * 60 * 60,
        _ => bail!("there is no unit {unit}"),
    };
    let value = value.parse::<u64>()?;
    ensure!(value > 0, "a rate is positive");
    Ok(Duration::from_secs(value * seconds))
}

/// Scheduler user guide, "Configuring flexible time windows".
fn window(properties: &Value) -> Result<Duration> {
    match properties["Mode"].as_str() {
        Some("OFF") => Ok(Duration::ZERO),
        Some("FLEXIBLE") => {
            let minutes = properties["MaximumWindowInMinutes"].as_u64().context("a window has minutes")?;
            Ok(Duration::from_secs(minutes * 60))
        }
        mode => bail!("there is no mode {mode:?}"),
    }
}

impl Bus {
    /// Invokes the function of a schedule again and again, the first time at once: without a start date a schedule with a rate
    /// begins when it is made (Scheduler user guide, "Schedule types").
    pub(super) async fn keep(self, schedule: Schedule) {
        let upstream = &self.config.around.upstream;
        loop {
            let late = (PRECISION + schedule.window).mul_f64(upstream.random.value());
            let (bus, due) = (self.clone(), (schedule.clone(), upstream.clock.now(), late));
            tokio::spawn(async move { bus.invoke_on_schedule(due).await });
            upstream.clock.sleep(schedule.every).await;
        }
    }

    /// Puts one invocation in the function's queue; Scheduler invokes functions asynchronously (Scheduler user guide, "Using
    /// templated targets", `Invoke`).
    async fn invoke_on_schedule(&self, (schedule, at, late): (Schedule, Timestamp, Duration)) {
        let Schedule { arn, function, role, attempts, age, .. } = &schedule;
        let upstream = &self.config.around.upstream;
        let mut event =
            event(upstream, "aws.scheduler", "Scheduled Event", std::slice::from_ref(arn), &json!("{}"));
        event["time"] = json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        upstream.clock.sleep(late).await;
        let mut retry = Retry::of_events(upstream, *attempts, *age);
        loop {
            match self.config.targets.admits(function, role).await {
                Ok(()) => return self.invoke_asynchronously(function, &event.to_string()),
                Err(why) if !retry.again().await => {
                    return self.drop_input(function, event.to_string(), why);
                }
                Err(_) => {}
            }
        }
    }
}
