//! DeleteService: ends the job's services and says StillInUse until the last task has stopped, because a service may
//! be INACTIVE while its tasks still hold their network interfaces.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::Service;
use mayfly_ecs::Described;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteService>();

/// The step.
pub struct DeleteService {
    ecs: Client,
    stack: String,
    /// The stack's cluster.
    cluster: String,
}

impl Step for DeleteService {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ecs: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            cluster: environment.setting("CLUSTER_ARN")?,
        })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ecs, stack, cluster } = self;
        let owner = Owner { stack, job: &target.job };
        let services = mayfly_ecs::services(ecs, cluster, owner).await?;
        for service in services.iter().filter(|service| is_active(service)) {
            let Err(error) = delete(ecs, service).await else { continue };
            // Where the answer to a deletion was lost, the next one may be denied: IAM knows no tags of what is gone.
            let left = mayfly_ecs::services(ecs, cluster, owner).await?;
            if left.iter().any(|left| left.service_arn == service.service_arn && is_active(left)) {
                return Err(error);
            }
        }
        let tasks = mayfly_ecs::tasks(ecs, cluster, owner).await?;
        let draining =
            services.iter().filter(|service| !service.is_gone()).map(|_| "service DRAINING".to_owned());
        let stopping =
            tasks.iter().filter(|task| !task.is_gone()).map(|task| format!("task {}", task.state()));
        let waiting: Vec<String> = draining.chain(stopping).collect();
        if !waiting.is_empty() {
            return Err(Error::StillInUse(format!("not gone yet: {}", waiting.join(", "))));
        }
        Ok(Deleted { deleted: services.len() })
    }
}

fn is_active(service: &Service) -> bool {
    service.status() == Some("ACTIVE")
}

async fn delete(ecs: &Client, service: &Service) -> Result<(), Error> {
    let deletion = ecs
        .delete_service()
        .set_cluster(service.cluster_arn.clone())
        .set_service(service.service_arn.clone())
        .force(true);
    match deletion.send().await {
        Ok(_) => tracing::info!(service = service.service_arn, "service deleted"),
        Err(error) => match error.as_service_error() {
            Some(e) if e.is_service_not_found_exception() || e.is_cluster_not_found_exception() => {}
            // "The service cannot be stopped while deployments are active."
            // Source: terraform-provider-aws, internal/service/ecs/service.go, which retries it.
            Some(e)
                if e.is_invalid_parameter_exception() && e.to_string().contains("deployments are active") =>
            {
                return Err(Error::StillInUse(e.to_string()));
            }
            _ => return Err(Error::aws("delete the job's service")(error)),
        },
    }
    Ok(())
}
