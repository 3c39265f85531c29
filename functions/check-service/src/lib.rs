//! CheckService: whether the service is ready: as many of its containers run as it is to have, and are healthy where it
//! says how to tell. `ServiceStarting` until then, whose message begins with a class where there is no room for all of
//! them; a service that ECS has given up, or that cannot stay up, is a failure with the end of its container's log.

use std::cmp::Reverse;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, DesiredStatus, HealthStatus, Service, Task};
use mayfly_ecs::{classify, tasks_of_service};
use mayfly_jobs::Jobs;
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_logs::ContainerLog;
use mayfly_model::class::Class;
use mayfly_model::names::Names;
use mayfly_model::outcome::JobFailure;
use mayfly_model::plan::{Plan, PlannedService};
use mayfly_model::turn::Turn;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CheckService>();

/// The step.
pub struct CheckService {
    ecs: Client,
    jobs: Jobs,
    log: ContainerLog,
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

/// What the step answers, unless it is to look again.
#[derive(Debug, Serialize)]
pub struct Checked {
    ready: bool,
    /// Why it will not be ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<JobFailure>,
}

impl Step for CheckService {
    type Input = Input;
    type Output = Checked;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ecs: Client::new(environment.sdk()),
            jobs: Jobs::new(environment)?,
            log: ContainerLog::new(environment)?,
            stack: environment.setting("STACK_NAME")?,
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job, launch = input.turn.launch), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Checked, Error> {
        let Self { ecs, jobs, .. } = self;
        let Input { plan, turn, cluster } = input;
        let planned =
            plan.service().ok_or_else(|| Error::internal("check the service", "the job is none"))?;
        let names = Names::new(&self.stack, &plan.job);
        let service = describe(ecs, &cluster, &names.service(turn.launch)).await?;
        // What its containers have done is told by ECS's events.
        let failure = match jobs.service(&plan.job).await?.and_then(|record| record.failure) {
            Some(failure) => Some(failure),
            None => self.given_up(&names, turn, &cluster, &service).await?,
        };
        if let Some(failure) = failure {
            tracing::warn!(class = failure.error.name(), "service failed: {}", failure.message);
            return Ok(Checked { ready: false, failure: Some(failure) });
        }
        let tasks = tasks_of_service(
            ecs,
            &cluster,
            service.service_name().unwrap_or_default(),
            DesiredStatus::Running,
        );
        let tasks = tasks.await?;
        let ready = tasks.iter().filter(|task| is_ready(planned, task)).count();
        if ready < planned.count as usize {
            let is_placed = tasks.len() >= planned.count as usize;
            return Err(Error::ServiceStarting(starting(planned.count, &service, ready, is_placed)));
        }
        tracing::info!(ready, "service ready");
        Ok(Checked { ready: true, failure: None })
    }
}

/// A container without a health check is `UNKNOWN` for ever.
/// Source: ECS API Reference, `Task`, `healthStatus`.
fn is_ready(service: &PlannedService, task: &Task) -> bool {
    let is_well = service.health_command.is_none() || task.health_status() == Some(&HealthStatus::Healthy);
    task.last_status() == Some("RUNNING") && is_well
}

/// What keeps the service from being ready. What ECS has said of room counts while there are fewer tasks than there are to
/// be: the circuit breaker does not give up a service of which some have run.
/// Source: ECS developer guide, "How the Amazon ECS deployment circuit breaker detects failures".
fn starting(count: u32, service: &Service, ready: usize, is_placed: bool) -> String {
    let so_far = format!("{ready} of the service's {count} containers are ready");
    if let Some((class, told)) = classify::unplaced(service).filter(|_| !is_placed) {
        return format!("{}: {so_far}; {told}", class.name());
    }
    let told = service.events().first().and_then(|event| event.message()).unwrap_or("it has said nothing");
    format!("{so_far}; ECS says: {told}")
}

async fn describe(ecs: &Client, cluster: &str, name: &str) -> Result<Service, Error> {
    const DOING: &str = "describe the job's service";
    let described = ecs.describe_services().cluster(cluster).services(name).send().await;
    let services = described.map_err(Error::aws(DOING))?.services.unwrap_or_default();
    given(DOING, "services", services.into_iter().next())
}

impl CheckService {
    /// Why ECS has given the service up, if it has. What ended last says more than ECS where a container ran.
    async fn given_up(
        &self,
        names: &Names,
        turn: Turn,
        cluster: &str,
        service: &Service,
    ) -> Result<Option<JobFailure>, Error> {
        let is_failed = |one: &&Deployment| one.rollout_state() == Some(&DeploymentRolloutState::Failed);
        let Some(deployment) = service.deployments().iter().find(is_failed) else { return Ok(None) };
        let reason = deployment.rollout_state_reason().unwrap_or("it gave no reason");
        let (class, message) = classify::given_up(service, reason);
        let name = service.service_name().unwrap_or_default();
        let stopped = tasks_of_service(&self.ecs, cluster, name, DesiredStatus::Stopped).await?;
        let last = stopped.into_iter().min_by_key(|task| Reverse(task.stopped_at().map(|at| at.secs())));
        let mut failure = JobFailure { attempt: Some(turn.attempt), ..JobFailure::of_job(class, message) };
        if let Some(task) = last {
            failure.exit_code = task.containers().iter().find_map(|container| container.exit_code());
            if let (Some(code), Class::StartFailed) = (failure.exit_code, class) {
                failure.error = Class::CommandFailed;
                failure.message = format!("the container ended with code {code}; {}", failure.message);
            }
            if let Some(task_arn) = task.task_arn {
                failure.output = self.log.last_lines(names, &task_arn).await?;
                failure.task_arn = Some(task_arn);
            }
        }
        Ok(Some(failure))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::ServiceEvent;

    use super::*;

    #[test]
    fn a_service_without_room_for_all_its_containers_says_of_which_class_that_is() {
        let told = "was unable to place a task. Reason: Capacity is unavailable at this time.";
        let service = Service::builder().events(ServiceEvent::builder().message(told).build()).build();
        assert_eq!(
            starting(2, &service, 1, false),
            format!(
                "NoCapacity: 1 of the service's 2 containers are ready; Fargate placed no container: {told}"
            )
        );
        let placed = format!("1 of the service's 2 containers are ready; ECS says: {told}");
        assert_eq!(starting(2, &service, 1, true), placed);
    }
}
