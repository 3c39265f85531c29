//! FindTask: the running task of a service, and its addresses.

use aws_sdk_ecs::types::Task;
use mayfly_ecs::interface_details;
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Step};
use serde::{Deserialize, Serialize};

/// The step.
pub struct FindTask {
    ecs: aws_sdk_ecs::Client,
    ec2: aws_sdk_ec2::Client,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    job: String,
    /// The cluster's ARN.
    cluster: String,
    /// The service's name or ARN.
    service: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    task_arn: String,
    private_ip: String,
    /// Absent where the task has no public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_ip: Option<String>,
}

impl Step for FindTask {
    type Input = Input;
    type Output = Found;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ecs: aws_sdk_ecs::Client::new(environment.sdk()),
            ec2: aws_sdk_ec2::Client::new(environment.sdk()),
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.job), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Found, Error> {
        let Self { ecs, ec2 } = self;
        let task = running_task(ecs, &input).await?;
        let interface =
            detail(&task, "networkInterfaceId").ok_or_else(|| starting("it has no network interface"))?;
        let private_ip = detail(&task, "privateIPv4Address").ok_or_else(|| starting("it has no address"))?;
        let public_ip = public_address(ec2, &interface).await?;
        let task_arn = given("describe the service's task", "taskArn", task.task_arn)?;
        tracing::info!(task_arn, private_ip, public_ip, "task found");
        Ok(Found { task_arn, private_ip, public_ip })
    }
}

async fn running_task(ecs: &aws_sdk_ecs::Client, input: &Input) -> Result<Task, Error> {
    let listed = ecs
        .list_tasks()
        .cluster(&input.cluster)
        .service_name(&input.service)
        .send()
        .await
        .map_err(Error::aws("list the service's tasks"))?;
    let arns = listed.task_arns.unwrap_or_default();
    if arns.is_empty() {
        return Err(starting("the service has none yet"));
    }
    let described = ecs
        .describe_tasks()
        .cluster(&input.cluster)
        .set_tasks(Some(arns))
        .send()
        .await
        .map_err(Error::aws("describe the service's task"))?;
    let tasks = described.tasks.unwrap_or_default();
    let statuses: Vec<_> = tasks.iter().filter_map(Task::last_status).collect();
    let waiting = starting(&format!("it is {}", statuses.join(", ")));
    tasks.into_iter().find(|task| task.last_status() == Some("RUNNING")).ok_or(waiting)
}

fn starting(detail: &str) -> Error {
    Error::TaskStarting(format!("the service's task does not run yet: {detail}"))
}

/// The first interface's detail, where ECS tells it.
fn detail(task: &Task, name: &str) -> Option<String> {
    interface_details(task, name).next().map(str::to_owned)
}

async fn public_address(ec2: &aws_sdk_ec2::Client, interface: &str) -> Result<Option<String>, Error> {
    let by_id = aws_sdk_ec2::types::Filter::builder().name("network-interface-id").values(interface).build();
    let described = ec2
        .describe_network_interfaces()
        .filters(by_id)
        .send()
        .await
        .map_err(Error::aws("describe the task's network interface"))?;
    let association = described.network_interfaces().iter().find_map(|interface| interface.association());
    Ok(association.and_then(|association| association.public_ip().map(str::to_owned)))
}
