//! DeleteRouteTables: the route tables of the job's own VPC, but for the main one, which goes with the VPC.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::RouteTable;
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DeleteRouteTables>();

/// The step.
pub struct DeleteRouteTables {
    ec2: Client,
    stack: String,
}

impl Step for DeleteRouteTables {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { ec2, stack } = self;
        let owner = Owner { stack, job: &target.job };
        let tables = find::owned_or_inside::<RouteTable>(ec2, owner).await?;
        let tables = tables.iter().filter(|table| !table.is_of_vpc());
        delete_each(ec2, owner, tables, |table| delete(ec2, table)).await
    }
}

/// A table with a subnet cannot be deleted.
/// Source: EC2 API Reference, `DeleteRouteTable`.
async fn delete(ec2: &Client, table: &RouteTable) -> Result<(), Error> {
    for association in table.associations() {
        let parting =
            ec2.disassociate_route_table().set_association_id(association.route_table_association_id.clone());
        deleted("part a route table of the job from its subnet", parting.send().await)?;
    }
    deleted(
        "delete a route table of the job",
        ec2.delete_route_table().route_table_id(table.id()).send().await,
    )
}
