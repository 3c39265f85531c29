//! FindTask: the tasks of a service that run, and their addresses.

use aws_sdk_ecs::types::{DesiredStatus, Task};
use mayfly_ec2::public_addresses;
use mayfly_ecs::{interface_details, tasks_of_service};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::names::Names;
use mayfly_model::plan::Plan;
use mayfly_model::service::Address;
use mayfly_model::turn::Turn;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<FindTask>();

/// The step.
pub struct FindTask {
    ecs: aws_sdk_ecs::Client,
    ec2: aws_sdk_ec2::Client,
    stack: String,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
    turn: Turn,
    /// The cluster's ARN.
    cluster: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Found {
    addresses: Vec<Address>,
}

impl Step for FindTask {
    type Input = Input;
    type Output = Found;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ecs: aws_sdk_ecs::Client::new(environment.sdk()),
            ec2: aws_sdk_ec2::Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Found, Error> {
        let Self { ecs, ec2, stack } = self;
        let Input { plan, turn, cluster } = input;
        let count = plan.service().map_or(1, |service| service.count) as usize;
        let name = Names::new(stack, &plan.job).service(turn.launch);
        let tasks = tasks_of_service(ecs, &cluster, &name, DesiredStatus::Running).await?;
        let running = tasks.iter().filter(|task| task.last_status() == Some("RUNNING"));
        let attached: Vec<_> =
            running.filter_map(|task| Some((task, interface_of(task)?.to_owned()))).collect();
        if attached.len() < count {
            let statuses: Vec<_> = tasks.iter().filter_map(Task::last_status).collect();
            return Err(Error::TaskStarting(format!(
                "{} of the service's {count} tasks run and have a network interface; they are: {}",
                attached.len(),
                statuses.join(", ")
            )));
        }
        let interfaces = attached.iter().map(|(_, interface)| interface.clone()).collect();
        let public = public_addresses(ec2, interfaces).await?;
        let address = |(task, interface): (&Task, String)| {
            let task_arn = given("describe the service's tasks", "taskArn", task.task_arn.clone())?;
            let private_ip = interface_details(task, "privateIPv4Address").next().map(str::to_owned);
            Ok(Address { task_arn, private_ip, public_ip: public.get(&interface).cloned() })
        };
        let addresses = attached.into_iter().map(address).collect::<Result<Vec<_>, Error>>()?;
        tracing::info!(?addresses, "tasks found");
        Ok(Found { addresses })
    }
}

fn interface_of(task: &Task) -> Option<&str> {
    interface_details(task, "networkInterfaceId").next()
}
