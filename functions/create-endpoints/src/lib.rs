//! CreateEndpoints: the way of the private subnets to S3, a gateway endpoint. It costs nothing, and keeps image layers
//! and videos off the NAT gateway, where every gigabyte costs.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{ResourceType, VpcEndpoint, VpcEndpointType};
use mayfly_ec2::{creating_once, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// The step.
pub struct CreateEndpoints {
    ec2: Client,
    stack: String,
    /// The name of the endpoint service.
    s3: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    vpc_id: String,
    /// The private subnet's.
    route_table_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    vpc_endpoint_id: String,
}

impl Step for CreateEndpoints {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            s3: format!("com.amazonaws.{}.s3", environment.setting::<String>("AWS_REGION")?),
            clock: environment.clock(),
        })
    }

    /// The endpoint has AWS's default policy, which allows everything: the layers of an image in ECR lie in buckets of AWS's
    /// own, and the job's files move by the rights of whoever signed their URLs.
    /// Source: ECR user guide, "Amazon ECR interface VPC endpoints", the S3 gateway endpoint.
    ///
    /// How long EC2 remembers the client token of an endpoint is not documented, so a first try's is looked for.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's S3 endpoint";
        let Self { ec2, stack, s3, clock } = self;
        let Input { plan, vpc_id, route_table_id } = input;
        let mut found = find::owned::<VpcEndpoint>(ec2, Owner { stack, job: &plan.job }).await?;
        found.retain(|endpoint| endpoint.service_name() == Some(s3) && serves(endpoint, &route_table_id));
        if let Some(vpc_endpoint_id) = found.into_iter().find_map(|endpoint| endpoint.vpc_endpoint_id) {
            tracing::info!(vpc_endpoint_id, "S3 endpoint found");
            return Ok(Created { vpc_endpoint_id });
        }
        let created = ec2
            .create_vpc_endpoint()
            .vpc_id(vpc_id)
            .service_name(s3)
            .vpc_endpoint_type(VpcEndpointType::Gateway)
            .route_table_ids(route_table_id)
            .client_token(plan.client_token("s3"))
            .tag_specifications(tag_specification(ResourceType::VpcEndpoint, &plan.tags))
            .send()
            .await
            .map_err(creating_once(DOING, &plan, clock.now(), "RouteAlreadyExists"))?;
        let id = created.vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id);
        let vpc_endpoint_id = given(DOING, "vpcEndpointId", id)?;
        tracing::info!(vpc_endpoint_id, "S3 endpoint created");
        Ok(Created { vpc_endpoint_id })
    }
}

/// Whether the endpoint lives and the table has its route. EC2 writes a state in small letters too, which are none of the
/// SDK's.
fn serves(endpoint: &VpcEndpoint, route_table_id: &str) -> bool {
    let state = endpoint.state().map_or("", |state| state.as_str());
    ["pending", "available"].iter().any(|living| state.eq_ignore_ascii_case(living))
        && endpoint.route_table_ids().iter().any(|id| id == route_table_id)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::State;

    use super::*;

    #[test]
    fn only_an_endpoint_that_lives_in_the_same_table_counts() {
        let endpoint =
            |state: &str| VpcEndpoint::builder().state(State::from(state)).route_table_ids("rtb-1").build();
        for state in ["available", "Available", "pending"] {
            assert!(serves(&endpoint(state), "rtb-1"), "{state}");
        }
        assert!(!serves(&endpoint("deleting"), "rtb-1"));
        assert!(!serves(&endpoint("available"), "rtb-2"));
    }
}
