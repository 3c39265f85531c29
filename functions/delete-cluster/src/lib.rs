//! DeleteCluster: the job's own cluster, where it has one; never the stack's. StillInUse until it is INACTIVE.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::Cluster;
use mayfly_ecs::Described;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteCluster>();

/// The step.
pub struct DeleteCluster {
    ecs: Client,
    stack: String,
}

impl Step for DeleteCluster {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ecs: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ecs, stack } = self;
        let found = mayfly_ecs::cluster(ecs, Owner { stack, job: &target.job }).await?;
        let Some(cluster) = found.filter(|cluster| !cluster.is_gone()) else {
            return Ok(Deleted { deleted: 0 });
        };
        if cluster.state() == "DEPROVISIONING" {
            return Err(still_there(&cluster));
        }
        match delete(ecs, &cluster).await? {
            Some(left) if !left.is_gone() => Err(still_there(&left)),
            _ => Ok(Deleted { deleted: 1 }),
        }
    }
}

/// A cluster gives its capacity providers back first.
fn still_there(cluster: &Cluster) -> Error {
    Error::StillInUse(format!("the job's cluster is {}", cluster.state()))
}

/// The cluster as it is then; none where it was gone already.
async fn delete(ecs: &Client, cluster: &Cluster) -> Result<Option<Cluster>, Error> {
    let answer = ecs.delete_cluster().set_cluster(cluster.cluster_arn.clone()).send().await;
    let error = match answer {
        Ok(answer) => {
            tracing::info!(cluster = cluster.cluster_arn, "cluster deleted");
            return Ok(answer.cluster);
        }
        Err(error) => error,
    };
    match error.as_service_error() {
        Some(e) if e.is_cluster_not_found_exception() => Ok(None),
        Some(e)
            if e.is_cluster_contains_services_exception()
                || e.is_cluster_contains_tasks_exception()
                || e.is_update_in_progress_exception() =>
        {
            Err(Error::still_in_use("delete the job's cluster", e))
        }
        _ => Err(Error::aws("delete the job's cluster")(error)),
    }
}
