//! HandleRunningTask: a container of a service runs. ECS says so on the event bus; where it is called is remembered, and
//! told to others when that is another address than before.

use jiff::Timestamp;
use mayfly_ec2::public_addresses;
use mayfly_ecs::event::{Body, Event};
use mayfly_ecs::service_of;
use mayfly_events::Bus;
use mayfly_jobs::{Jobs, Told};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::service::Address;
use serde::Serialize;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<HandleRunningTask>();

/// The step.
pub struct HandleRunningTask {
    jobs: Jobs,
    ecs: aws_sdk_ecs::Client,
    ec2: aws_sdk_ec2::Client,
    bus: Bus,
    stack: String,
    clock: Clock,
}

/// What has become of the event.
#[derive(Debug, Serialize)]
pub struct Handled {
    /// The addresses that were told to others; none where the event says nothing new of any service.
    announced: Option<Vec<Address>>,
}

impl Step for HandleRunningTask {
    type Input = Event;
    type Output = Handled;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            jobs: Jobs::new(environment)?,
            ecs: aws_sdk_ecs::Client::new(environment.sdk()),
            ec2: aws_sdk_ec2::Client::new(environment.sdk()),
            bus: Bus::new(environment),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    #[tracing::instrument(skip_all, fields(event = event.id), err(level = "warn"))]
    async fn run(&self, event: Event) -> Result<Handled, Error> {
        let Self { jobs, ecs, ec2, bus, stack, clock } = self;
        let ignored = |why: &str| {
            tracing::info!(why, "event ignored");
            Ok(Handled { announced: None })
        };
        let Body::Task(task) = &event.body else { return ignored("it is not about a task") };
        let Some(found) = service_of(ecs, stack, &event).await?.filter(|found| found.is_service) else {
            return ignored("it is not about a service of this stack's that can be called");
        };
        let interface = task.interface_detail("networkInterfaceId").map(str::to_owned);
        let public = public_addresses(ec2, interface.into_iter().collect()).await?;
        let address = Address {
            task_arn: task.task_arn.clone(),
            private_ip: task.interface_detail("privateIPv4Address").map(str::to_owned),
            public_ip: public.into_values().next(),
        };
        let expiry: Timestamp = found.expiry.unwrap_or_else(|| clock.now());
        let told = Told { job: &found.job, expiry, task_arn: &task.task_arn };
        let Some(record) = jobs.container_runs(told, task.version, &address).await? else {
            return ignored("it is no news, or the service was not ready yet");
        };
        let Some(ready) = record.ready(stack) else { return ignored("the service was not ready yet") };
        bus.announce(&ready).await?;
        Ok(Handled { announced: Some(ready.addresses) })
    }
}
