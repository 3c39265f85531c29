//! FindLeftovers: everything that a job has in the account, by its tags, and of uploads by the `Jobs` table. The first search says what was created, the
//! last one proves that nothing is left.

mod balancing;
mod compute;
mod network;
mod uploads;

use mayfly_jobs::Jobs;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::inventory::{Receipt, Resource};
use mayfly_model::outcome::cause;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Found, Search};
use tokio::try_join;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<FindLeftovers>();

/// The step.
pub struct FindLeftovers {
    ec2: aws_sdk_ec2::Client,
    ecs: aws_sdk_ecs::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    jobs: Jobs,
    stack: String,
    /// The stack's cluster.
    cluster: String,
}

impl Step for FindLeftovers {
    type Input = Search;
    type Output = Found;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: aws_sdk_ec2::Client::new(environment.sdk()),
            ecs: aws_sdk_ecs::Client::new(environment.sdk()),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(environment.sdk()),
            s3: aws_sdk_s3::Client::from_conf(mayfly_s3::config(environment.sdk())),
            sqs: aws_sdk_sqs::Client::new(environment.sdk()),
            jobs: Jobs::new(environment)?,
            stack: environment.setting("STACK_NAME")?,
            cluster: environment.setting("CLUSTER_ARN")?,
        })
    }

    #[tracing::instrument(skip_all, fields(job = search.job), err(level = "warn"))]
    async fn run(&self, search: Search) -> Result<Found, Error> {
        let Self { ec2, ecs, elb, s3, sqs, jobs, stack, cluster: stack_cluster } = self;
        let owner = Owner { stack, job: &search.job };
        let (services, (tasks, interfaces), cluster, definitions, mailboxes, network, mut balancing, uploads) =
            try_join!(
                compute::services(ecs, stack_cluster, owner),
                compute::tasks(ecs, stack_cluster, owner),
                compute::cluster(ecs, owner),
                compute::task_definitions(ecs, owner),
                compute::mailboxes(sqs, owner, &search.queues),
                network::parts(ec2, owner),
                balancing::parts(elb, ec2, owner),
                uploads::of_job(s3, jobs, owner),
            )?;
        let mut interfaces = network::interfaces(ec2, interfaces).await?;
        // Those in the job's own VPC have been found there.
        let is_elsewhere = |found: &Resource| network.iter().all(|part| part.id != found.id);
        interfaces.retain(is_elsewhere);
        balancing.retain(is_elsewhere);
        let has_network = network.iter().any(|part| !part.is_gone());
        let mut receipt = search.receipt;
        let all = [services, tasks, cluster, definitions, mailboxes, network, balancing, interfaces, uploads];
        receipt.update(&all.concat());
        tracing::info!(
            created = receipt.created.len(),
            residual = receipt.residual.len(),
            "leftovers searched"
        );
        let cause = cause(&receipt, Receipt::shortened)
            .map_err(|error| Error::internal("write the receipt", error))?;
        Ok(Found { empty: receipt.residual.is_empty(), receipt, network: has_network, cause })
    }
}

#[cfg(test)]
mod tests {
    use mayfly_model::inventory::{Kind, Named};
    use mayfly_model::outcome::CAUSE_LIMIT;

    use super::*;

    #[test]
    fn a_long_receipt_fits_into_a_cause() {
        let task = |n| Named {
            kind: Kind::Task,
            id: format!("arn:aws:ecs:eu-west-1:123456789012:task/mayfly/{n:032}"),
        };
        let created: Vec<Named> = (0..500).map(task).collect();
        let receipt = Receipt { deleted: created.clone(), created, residual: Vec::new() };
        let cause = cause(&receipt, Receipt::shortened).unwrap();
        assert!(cause.len() <= CAUSE_LIMIT, "{}", cause.len());
        assert_eq!(serde_json::from_str::<Receipt>(&cause).unwrap(), receipt.shortened());
    }
}
