//! CreateRoute: a way to the internet, for the public subnet through the internet gateway, for the private ones through
//! the NAT gateway.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::RouteTable;
use mayfly_ec2::creating_once;
use mayfly_ec2::find::{self, Described};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

const EVERYWHERE: &str = "0.0.0.0/0";
const DOING: &str = "create a route of the job";

/// The step.
pub struct CreateRoute {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    route_table_id: String,
    /// The internet gateway; EC2 refuses it beside a NAT gateway, and neither.
    gateway_id: Option<String>,
    nat_gateway_id: Option<String>,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Created {}

impl Step for CreateRoute {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        let Self { ec2, stack, clock } = self;
        let Input { plan, route_table_id, gateway_id, nat_gateway_id } = input;
        let target = gateway_id.clone().or(nat_gateway_id.clone()).unwrap_or_default();
        let found = find::owned::<RouteTable>(ec2, Owner { stack, job: &plan.job }).await?;
        if leads_to(found.iter().find(|table| table.id() == route_table_id), &target)? {
            tracing::info!(route_table_id, target, "route found");
            return Ok(Created {});
        }
        ec2.create_route()
            .route_table_id(&route_table_id)
            .destination_cidr_block(EVERYWHERE)
            .set_gateway_id(gateway_id)
            .set_nat_gateway_id(nat_gateway_id)
            .send()
            .await
            .map_err(creating_once(DOING, &plan, clock.now(), "RouteAlreadyExists"))?;
        tracing::info!(route_table_id, target, "route created");
        Ok(Created {})
    }
}

/// Whether the table's route leads to the target already, as far as EC2 shows it.
fn leads_to(table: Option<&RouteTable>, target: &str) -> Result<bool, Error> {
    let routes = table.map(RouteTable::routes).unwrap_or_default();
    let Some(route) = routes.iter().find(|route| route.destination_cidr_block() == Some(EVERYWHERE)) else {
        return Ok(false);
    };
    match route.gateway_id().or(route.nat_gateway_id()).unwrap_or("something else") {
        same if same == target => Ok(true),
        other => {
            let detail = format!("the table's route leads to {other} and not to {target}");
            Err(Error::internal(DOING, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::Route;

    use super::*;

    #[test]
    fn a_route_that_is_there_must_lead_to_the_same_gateway() {
        let local = Route::builder().destination_cidr_block("10.0.0.0/24").gateway_id("local").build();
        let route = Route::builder().destination_cidr_block(EVERYWHERE).nat_gateway_id("nat-1").build();
        let table = RouteTable::builder().routes(local.clone()).routes(route).build();
        assert!(leads_to(Some(&table), "nat-1").expect("the same"));
        assert_eq!(leads_to(Some(&table), "nat-2").expect_err("another").name(), "Internal");
        let bare = RouteTable::builder().routes(local).build();
        for unseen in [None, Some(&bare)] {
            assert!(!leads_to(unseen, "nat-1").expect("nothing to say"));
        }
    }
}
