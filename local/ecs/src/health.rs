//! Whether a task's container is healthy, as the health check of its definition says.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::timeout;

use crate::Ecs;
use crate::requests::HealthCheck;
use crate::runtime::Container;

/// API Reference, `Container$healthStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

impl Health {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// Runs the check again and again. `tell` hears of every change, and whether it is time to replace a task that fails, which
/// it is as soon as `grace` is over: API Reference, `HealthCheck` and `CreateService$healthCheckGracePeriodSeconds`. The first
/// check is after one interval, as Docker's (Dockerfile reference, HEALTHCHECK).
pub(crate) async fn watch(
    ecs: &Ecs,
    container: &dyn Container,
    check: &HealthCheck,
    grace: Duration,
    tell: impl Fn(Health, bool),
) -> Infallible {
    let clock = ecs.upstream.clock;
    let began = clock.instant();
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let start_period = seconds(check.start_period.unwrap_or_default());
    let (mut health, mut failures) = (Health::Unknown, 0);
    loop {
        clock.sleep(seconds(check.interval)).await;
        let age = clock.scale.cloud(clock.instant() - began);
        let found = if passes(ecs, container, check).await {
            failures = 0;
            Health::Healthy
        } else if health == Health::Unknown && age < start_period {
            Health::Unknown
        } else {
            failures += 1;
            if failures >= check.retries { Health::Unhealthy } else { health }
        };
        let is_due = found == Health::Unhealthy && age >= grace;
        if found != health || is_due {
            health = found;
            tell(health, is_due);
        }
    }
}

/// Whether the command ends well in time, which is real where a job's work has real time.
async fn passes(ecs: &Ecs, container: &dyn Container, check: &HealthCheck) -> bool {
    let command = match check.command.as_slice() {
        [kind, script, ..] if kind == "CMD-SHELL" => vec!["/bin/sh".into(), "-c".into(), script.clone()],
        [_, command @ ..] => command.to_vec(),
        [] => return false,
    };
    let time = ecs.time_for_work(Duration::from_secs(check.timeout.into()));
    matches!(timeout(time, container.run(&command)).await, Ok(Ok(0)))
}
