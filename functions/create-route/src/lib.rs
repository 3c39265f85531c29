//! CreateRoute: a way to the internet, for the public subnet through the internet gateway, for the private ones through
//! the NAT gateway, or the egress-only internet gateway where they have IPv6 alone.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Route, RouteTable};
use mayfly_ec2::creating_once;
use mayfly_ec2::find::{self, Described};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

const EVERYWHERE: &str = "0.0.0.0/0";
const EVERYWHERE_IPV6: &str = "::/0";
const DOING: &str = "create a route of the job";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateRoute>();

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
    #[serde(flatten)]
    target: Target,
}

/// Where the route leads.
#[derive(Debug, Deserialize)]
enum Target {
    /// An internet gateway.
    #[serde(rename = "gatewayId")]
    Internet(String),
    #[serde(rename = "natGatewayId")]
    Nat(String),
    #[serde(rename = "egressOnlyInternetGatewayId")]
    EgressOnly(String),
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
        let Input { plan, route_table_id, target } = input;
        let found = find::owned::<RouteTable>(ec2, Owner { stack, job: &plan.job }).await?;
        if leads_to(found.iter().find(|table| table.id() == route_table_id), &target)? {
            tracing::info!(route_table_id, ?target, "route found");
            return Ok(Created {});
        }
        let route = ec2.create_route().route_table_id(&route_table_id);
        let route = match &target {
            Target::Internet(id) => route.destination_cidr_block(EVERYWHERE).gateway_id(id),
            Target::Nat(id) => route.destination_cidr_block(EVERYWHERE).nat_gateway_id(id),
            Target::EgressOnly(id) => {
                route.destination_ipv6_cidr_block(EVERYWHERE_IPV6).egress_only_internet_gateway_id(id)
            }
        };
        route.send().await.map_err(creating_once(DOING, &plan, clock.now(), "RouteAlreadyExists"))?;
        tracing::info!(route_table_id, ?target, "route created");
        Ok(Created {})
    }
}

/// Whether the table's route leads to the target already, as far as EC2 shows it.
fn leads_to(table: Option<&RouteTable>, target: &Target) -> Result<bool, Error> {
    let routes = table.map(RouteTable::routes).unwrap_or_default();
    let (target, is_ours): (_, fn(&Route) -> bool) = match target {
        Target::Internet(id) | Target::Nat(id) => {
            (id, |route| route.destination_cidr_block() == Some(EVERYWHERE))
        }
        Target::EgressOnly(id) => (id, |route| route.destination_ipv6_cidr_block() == Some(EVERYWHERE_IPV6)),
    };
    let Some(route) = routes.iter().find(|route| is_ours(route)) else { return Ok(false) };
    let gateway = route.gateway_id().or(route.nat_gateway_id()).or(route.egress_only_internet_gateway_id());
    match gateway.unwrap_or("something else") {
        same if same == target => Ok(true),
        other => {
            let detail = format!("the table's route leads to {other} and not to {target}");
            Err(Error::internal(DOING, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nat(id: &str) -> Target {
        Target::Nat(id.to_owned())
    }

    #[test]
    fn a_route_that_is_there_must_lead_to_the_same_gateway() {
        let local = Route::builder().destination_cidr_block("10.0.0.0/24").gateway_id("local").build();
        let route = Route::builder().destination_cidr_block(EVERYWHERE).nat_gateway_id("nat-1").build();
        let table = RouteTable::builder().routes(local.clone()).routes(route).build();
        assert!(leads_to(Some(&table), &nat("nat-1")).expect("the same"));
        assert_eq!(leads_to(Some(&table), &nat("nat-2")).expect_err("another").name(), "Internal");
        let bare = RouteTable::builder().routes(local).build();
        for unseen in [None, Some(&bare)] {
            assert!(!leads_to(unseen, &nat("nat-1")).expect("nothing to say"));
        }
    }

    #[test]
    fn a_route_of_one_version_of_ip_says_nothing_of_the_other() {
        let route = Route::builder().destination_ipv6_cidr_block(EVERYWHERE_IPV6);
        let route = route.egress_only_internet_gateway_id("eigw-1").build();
        let table = RouteTable::builder().routes(route).build();
        let target = Target::EgressOnly("eigw-1".into());
        assert!(leads_to(Some(&table), &target).expect("the same"));
        assert!(!leads_to(Some(&table), &nat("nat-1")).expect("nothing to say"));
    }

    #[test]
    fn a_route_leads_to_just_one_gateway() {
        let target = |json: &str| serde_json::from_str::<Target>(json);
        assert!(matches!(target(r#"{"gatewayId": "igw-1"}"#), Ok(Target::Internet(id)) if id == "igw-1"));
        assert!(target("{}").is_err());
    }
}
