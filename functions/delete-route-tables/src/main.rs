//! DeleteRouteTables: the route tables of the job's own VPC, but for the main one, which goes with the VPC.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::RouteTable;
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_ec2::find::{self, Described};
use mayfly_ec2::{delete_each, deleted};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Deleted, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ec2 = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&ec2, &stack, event.payload))).await
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(ec2: &Client, stack: &str, target: Target) -> Result<Deleted, Error> {
    let owner = Owner { stack, job: &target.job };
    let tables = find::owned_or_inside::<RouteTable>(ec2, owner).await?;
    let tables = tables.iter().filter(|table| !find::is_main(table));
    delete_each(ec2, owner, tables, async |table| delete(ec2, table).await).await
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
