//! BeginService: from the first call on the service can be called: it is written down until when, and others are told
//! where. Every call says what is left of its time; when nothing is, it is over.

use jiff::Timestamp;
use mayfly_events::Bus;
use mayfly_jobs::{Jobs, ServiceRecord};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::service::{Address, Entrance, Ready};
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<BeginService>();

/// The step.
pub struct BeginService {
    jobs: Jobs,
    bus: Bus,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    /// What find-task has found, if it has.
    #[serde(default)]
    found: Found,
    /// What the service is called through, where that is a load balancer.
    #[serde(default)]
    load_balancer: LoadBalancer,
    /// What this step said last, and how the wait has ended that followed; nothing the first time.
    life: Before,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    addresses: Vec<Address>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LoadBalancer {
    /// Its host name.
    dns_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Before {
    /// Until when it was waited.
    end: Option<String>,
    kept: Kept,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Kept {
    /// None where the token came back.
    error: Option<String>,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Life {
    next: Next,
    /// How long the service can still be called, in seconds.
    left: u64,
    #[serde(flatten)]
    ready: Ready,
}

/// What the state machine's choice looks at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Next {
    /// It goes on.
    Keep,
    /// Its time is over.
    End,
}

impl Step for BeginService {
    type Input = Input;
    type Output = Life;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            jobs: Jobs::new(environment)?,
            bus: Bus::new(environment),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Life, Error> {
        const DOING: &str = "begin the service";
        let Self { jobs, bus, stack, clock } = self;
        let Input { plan, found, load_balancer, life } = input;
        let service = plan.service().ok_or_else(|| Error::internal(DOING, "the job is none"))?;
        let tls = service.load_balancer.as_ref().is_some_and(|balancer| balancer.certificate_arn.is_some());
        let entrance = Entrance { ports: service.ports.clone(), host: load_balancer.dns_name, tls };
        let mut begun = jobs.begin_service(&plan, service, &entrance, &found.addresses, clock.now()).await?.0;
        let is_over = loop {
            let end = begun.end.ok_or_else(|| Error::internal(DOING, "its record has no end"))?;
            if !is_over(&begun, end, &life, clock.now()) {
                break false;
            }
            if begun.is_ending || jobs.end_service_at(&plan, end).await? {
                break true;
            }
            // It has been put off in between.
            let record = jobs.service_of_run(&plan).await?;
            begun = record.ok_or_else(|| Error::internal(DOING, "its record is gone"))?;
        };
        let ready = begun.ready(stack).ok_or_else(|| Error::internal(DOING, "its record is not whole"))?;
        // A first try may have died before it told anybody; whoever hears it twice knows it already.
        if life.end.is_none() {
            bus.announce(&ready).await?;
        }
        let left = begun.end.map_or(0, |end| end.duration_since(clock.now()).as_secs());
        let left = if is_over { 0 } else { u64::try_from(left).unwrap_or_default().max(1) };
        tracing::info!(left, is_over, "service measured");
        Ok(Life { next: if is_over { Next::End } else { Next::Keep }, left, ready })
    }
}

/// The record says until when the service lasts, and the state machine's own clock when that is: a wait that is over and
/// whose end has not been put off is not waited for again, whatever the clock here says.
fn is_over(record: &ServiceRecord, end: Timestamp, life: &Before, now: Timestamp) -> bool {
    let has_waited = life.kept.error.as_deref() == Some("States.Timeout");
    let waited_for: Option<Timestamp> = life.end.as_ref().and_then(|end| end.parse().ok());
    record.is_ending || end <= now || (has_waited && waited_for == Some(end))
}
