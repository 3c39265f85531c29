//! AssociateRouteTable: gives a subnet its own routes instead of the VPC's main ones.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{RouteTable, RouteTableAssociation, RouteTableAssociationStateCode};
use mayfly_ec2::{creating_once, find};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<AssociateRouteTable>();

/// The step.
pub struct AssociateRouteTable {
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
    subnet_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Associated {}

impl Step for AssociateRouteTable {
    type Input = Input;
    type Output = Associated;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// What EC2 answers to the same association a second time is not documented, so the first is looked for.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Associated, Error> {
        const DOING: &str = "associate a route table of the job with its subnet";
        let Self { ec2, stack, clock } = self;
        let Input { plan, route_table_id, subnet_id } = input;
        let tables = find::owned::<RouteTable>(ec2, Owner { stack, job: &plan.job }).await?;
        match table_of(&tables, &subnet_id) {
            Some(table) if table == route_table_id => {
                tracing::info!(route_table_id, subnet_id, "route table found associated");
                return Ok(Associated {});
            }
            Some(other) => {
                let detail = format!("{subnet_id} has the routes of {other} and not of {route_table_id}");
                return Err(Error::internal(DOING, detail));
            }
            None => {}
        }
        ec2.associate_route_table()
            .route_table_id(&route_table_id)
            .subnet_id(&subnet_id)
            .send()
            .await
            .map_err(creating_once(DOING, &plan, clock.now(), "Resource.AlreadyAssociated"))?;
        tracing::info!(route_table_id, subnet_id, "route table associated");
        Ok(Associated {})
    }
}

/// The id of the table whose routes the subnet has, or is about to have.
fn table_of<'a>(tables: &'a [RouteTable], subnet_id: &str) -> Option<&'a str> {
    let mut associations = tables.iter().flat_map(RouteTable::associations);
    associations.find(|one| one.subnet_id() == Some(subnet_id) && holds(one))?.route_table_id()
}

fn holds(association: &RouteTableAssociation) -> bool {
    use RouteTableAssociationStateCode::{Disassociated, Disassociating, Failed};
    let state = association.association_state().and_then(|state| state.state());
    !matches!(state, Some(Disassociating | Disassociated | Failed))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::RouteTableAssociationState;

    use super::*;

    fn table(id: &str, subnet: &str, state: RouteTableAssociationStateCode) -> RouteTable {
        let state = RouteTableAssociationState::builder().state(state).build();
        let association =
            RouteTableAssociation::builder().route_table_id(id).subnet_id(subnet).association_state(state);
        RouteTable::builder().route_table_id(id).associations(association.build()).build()
    }

    #[test]
    fn only_an_association_that_holds_counts() {
        use RouteTableAssociationStateCode as State;
        let tables = [
            table("rtb-1", "subnet-a", State::Associated),
            table("rtb-2", "subnet-b", State::Disassociated),
            table("rtb-3", "subnet-b", State::Associating),
            table("rtb-4", "subnet-c", State::Failed),
        ];
        assert_eq!(table_of(&tables, "subnet-a"), Some("rtb-1"));
        assert_eq!(table_of(&tables, "subnet-b"), Some("rtb-3"));
        assert_eq!(table_of(&tables, "subnet-c"), None);
    }
}
