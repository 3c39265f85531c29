//! DeleteCluster: the job's own cluster, where it has one; never the stack's. StillInUse until it is INACTIVE.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::Cluster;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ecs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&ecs, &stack, event.payload))).await
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(ecs: &Client, stack: &str, target: Target) -> Result<Deleted, Error> {
    let found = mayfly_ecs::cluster(ecs, Owner { stack, job: &target.job }).await?;
    let Some(cluster) = found.filter(|cluster| cluster.status() != Some("INACTIVE")) else {
        return Ok(Deleted { deleted: 0 });
    };
    if cluster.status() == Some("DEPROVISIONING") {
        return Err(still_there(&cluster));
    }
    match delete(ecs, &cluster).await? {
        Some(left) if left.status() != Some("INACTIVE") => Err(still_there(&left)),
        _ => Ok(Deleted { deleted: 1 }),
    }
}

/// A cluster gives its capacity providers back first.
fn still_there(cluster: &Cluster) -> Error {
    Error::StillInUse(format!("the job's cluster is {}", cluster.status().unwrap_or("UNKNOWN")))
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
            Err(Error::StillInUse(format!("could not delete the job's cluster yet: {e}")))
        }
        _ => Err(Error::aws("delete the job's cluster")(error)),
    }
}
