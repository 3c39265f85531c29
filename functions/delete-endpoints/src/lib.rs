//! DeleteEndpoints: the VPC endpoints of the job's own VPC. StillInUse until the last one is gone.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::VpcEndpoint;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{deleting, is_gone, most_retryable, pairs, unsuccessful};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteEndpoints>();

/// The step.
pub struct DeleteEndpoints {
    ec2: Client,
    stack: String,
}

impl Step for DeleteEndpoints {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    /// The job's own go in one call, because EC2 allows few of them: a burst of 4, and one in three seconds. What AWS
    /// itself has put into the VPC goes in another, because a call fails as a whole where the right to one is missing.
    /// Source: EC2 developer guide, "Request throttling for the Amazon EC2 API".
    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let found = undeleted(ec2, owner).await?;
        let (own, others): (Vec<_>, Vec<_>) = found
            .iter()
            .filter(|endpoint| !endpoint.is_deleting())
            .partition(|endpoint| owner.owns(pairs(endpoint.tags())));
        let mut errors = Vec::new();
        for endpoints in [own, others] {
            errors.extend(delete(ec2, &endpoints).await);
        }
        let left = if found.is_empty() { Vec::new() } else { undeleted(ec2, owner).await? };
        // What was refused is told as it is, and not waited for.
        let was_refused = !errors.is_empty();
        let waiting = left.iter().filter(|endpoint| !was_refused || endpoint.is_deleting());
        let waiting: Vec<&str> = waiting.map(Described::id).collect();
        if !waiting.is_empty() {
            errors.push(Error::StillInUse(format!("endpoints are being deleted: {}", waiting.join(", "))));
        }
        most_retryable(errors).map_or(Ok(Deleted { deleted: found.len() }), Err)
    }
}

/// One is described for a while after it was deleted.
async fn undeleted(ec2: &Client, owner: Owner<'_>) -> Result<Vec<VpcEndpoint>, Error> {
    let mut endpoints = find::owned_or_inside::<VpcEndpoint>(ec2, owner).await?;
    endpoints.retain(|endpoint| !endpoint.is_gone());
    Ok(endpoints)
}

/// Deletes them in one call and says which were refused.
async fn delete(ec2: &Client, endpoints: &[&VpcEndpoint]) -> Vec<Error> {
    const DOING: &str = "delete a VPC endpoint of the job";
    if endpoints.is_empty() {
        return Vec::new();
    }
    let ids: Vec<String> = endpoints.iter().map(|endpoint| endpoint.id().to_owned()).collect();
    match ec2.delete_vpc_endpoints().set_vpc_endpoint_ids(Some(ids.clone())).send().await {
        Ok(answer) => {
            tracing::info!(?ids, "endpoints deleted, but for those refused");
            answer.unsuccessful().iter().filter_map(|item| unsuccessful(DOING, item).err()).collect()
        }
        Err(error) if is_gone(&error) => Vec::new(),
        Err(error) => vec![deleting(DOING)(error)],
    }
}
