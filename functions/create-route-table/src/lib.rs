//! CreateRouteTable: a route table for one of the job's subnets. Each has its own, because the VPC's main table goes
//! only with the VPC.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::ResourceType;
use mayfly_ec2::{creating, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateRouteTable>();

/// The step.
pub struct CreateRouteTable {
    ec2: Client,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    vpc_id: String,
    side: Side,
}

/// Which of the job's two subnets the table is for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Side {
    Public,
    Private,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    route_table_id: String,
}

impl Step for CreateRouteTable {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), clock: environment.clock() })
    }

    /// The same client token gives the same table, so a retry finds what the first try made. The tables differ in nothing
    /// that EC2 would keep, so there is nothing to look for.
    /// Source: EC2 developer guide, "Ensuring idempotency in Amazon EC2 API requests".
    #[tracing::instrument(skip_all, fields(job = input.plan.job, side = ?input.side), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create a route table of the job";
        let Self { ec2, clock } = self;
        let Input { plan, vpc_id, side } = input;
        let token = match side {
            Side::Public => plan.client_token("public-routes"),
            Side::Private => plan.client_token("private-routes"),
        };
        let created = ec2
            .create_route_table()
            .vpc_id(vpc_id)
            .client_token(token)
            .tag_specifications(tag_specification(ResourceType::RouteTable, &plan.tags))
            .send()
            .await
            .map_err(creating(DOING, &plan, clock.now()))?;
        let id = created.route_table.and_then(|table| table.route_table_id);
        let route_table_id = given(DOING, "routeTableId", id)?;
        tracing::info!(route_table_id, "route table created");
        Ok(Created { route_table_id })
    }
}
