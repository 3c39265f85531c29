//! CreateEndpoints: the ways of the private subnets to AWS. That to S3 is a gateway endpoint, which costs nothing and keeps
//! image layers and videos off the NAT gateway, where every gigabyte costs. Where there is no NAT gateway, the other services
//! that Fargate and the worker call have an interface endpoint each.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::create_vpc_endpoint::builders::CreateVpcEndpointFluentBuilder;
use aws_sdk_ec2::types::{ResourceType, VpcEndpoint, VpcEndpointType};
use mayfly_ec2::{creating_once, find, service_name, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateEndpoints>();

/// The step.
pub struct CreateEndpoints {
    ec2: Client,
    stack: String,
    region: String,
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
    /// Where interface endpoints are to be; absent where there are none.
    #[serde(flatten)]
    place: Option<Place>,
}

/// Where interface endpoints are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    subnet_id: String,
    /// The group that lets the container call them.
    security_group_id: String,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    vpc_endpoint_ids: Vec<String>,
}

impl Step for CreateEndpoints {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            region: environment.setting("AWS_REGION")?,
            clock: environment.clock(),
        })
    }

    /// Those that take minutes first. EC2 allows few such calls: a burst of 4, and one in three seconds. Where it refuses one,
    /// the state machine tries again, and goes on with what is missing then.
    /// Source: EC2 developer guide, "Request throttling for the Amazon EC2 API".
    ///
    /// How long EC2 remembers the client token of an endpoint is not documented, so a first try's is looked for.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        let Self { ec2, stack, .. } = self;
        let Input { plan, vpc_id, route_table_id, place } = input;
        let found = find::owned::<VpcEndpoint>(ec2, Owner { stack, job: &plan.job }).await?;
        let mut vpc_endpoint_ids = Vec::new();
        for service in plan.interface_endpoints() {
            let place = place.as_ref().ok_or_else(|| {
                Error::internal("create the job's endpoints", "they are given no subnet and no group")
            })?;
            let is_it = |endpoint: &VpcEndpoint| endpoint.vpc_id() == Some(&vpc_id);
            let id = match self.found(&found, service, is_it) {
                Some(id) => id,
                None => {
                    self.create(&plan, &vpc_id, service, |call| {
                        call.vpc_endpoint_type(VpcEndpointType::Interface)
                            .subnet_ids(&place.subnet_id)
                            .security_group_ids(&place.security_group_id)
                            .private_dns_enabled(true)
                    })
                    .await?
                }
            };
            vpc_endpoint_ids.push(id);
        }
        let is_it = |endpoint: &VpcEndpoint| endpoint.route_table_ids().contains(&route_table_id);
        let id = match self.found(&found, "s3", is_it) {
            Some(id) => id,
            None => {
                self.create(&plan, &vpc_id, "s3", |call| {
                    call.vpc_endpoint_type(VpcEndpointType::Gateway).route_table_ids(&route_table_id)
                })
                .await?
            }
        };
        vpc_endpoint_ids.push(id);
        Ok(Created { vpc_endpoint_ids })
    }
}

impl CreateEndpoints {
    /// The endpoint of the service that an earlier try has made.
    fn found(
        &self,
        found: &[VpcEndpoint],
        service: &str,
        is_it: impl Fn(&VpcEndpoint) -> bool,
    ) -> Option<String> {
        let name = service_name(&self.region, service);
        let mut of_service = found.iter().filter(|endpoint| endpoint.service_name() == Some(&name));
        let endpoint = of_service.find(|endpoint| lives(endpoint) && is_it(endpoint))?;
        tracing::info!(service, id = endpoint.vpc_endpoint_id, "endpoint found");
        endpoint.vpc_endpoint_id.clone()
    }

    /// The endpoint has AWS's default policy, which allows everything: the layers of an image in ECR lie in buckets of AWS's
    /// own, and the job's files move by the rights of whoever signed their URLs.
    /// Source: ECR user guide, "Amazon ECR interface VPC endpoints", the S3 gateway endpoint.
    async fn create(
        &self,
        plan: &Plan,
        vpc_id: &str,
        service: &str,
        place: impl FnOnce(CreateVpcEndpointFluentBuilder) -> CreateVpcEndpointFluentBuilder,
    ) -> Result<String, Error> {
        let doing = format!("create the job's endpoint of {service}");
        let call = self
            .ec2
            .create_vpc_endpoint()
            .vpc_id(vpc_id)
            .service_name(service_name(&self.region, service))
            .client_token(plan.client_token(service))
            .tag_specifications(tag_specification(ResourceType::VpcEndpoint, &plan.tags));
        let now = self.clock.now();
        let created =
            place(call).send().await.map_err(creating_once(&doing, plan, now, "RouteAlreadyExists"))?;
        let id = created.vpc_endpoint.and_then(|endpoint| endpoint.vpc_endpoint_id);
        let id = given(&doing, "vpcEndpointId", id)?;
        tracing::info!(service, id, "endpoint created");
        Ok(id)
    }
}

/// Whether the endpoint is on its way or there. EC2 writes a state in small letters too, which are none of the SDK's.
fn lives(endpoint: &VpcEndpoint) -> bool {
    let state = endpoint.state().map_or("", |state| state.as_str());
    ["pending", "available"].iter().any(|living| state.eq_ignore_ascii_case(living))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::State;

    use super::*;

    #[test]
    fn only_an_endpoint_that_lives_counts() {
        let endpoint = |state: &str| VpcEndpoint::builder().state(State::from(state)).build();
        for state in ["available", "Available", "pending"] {
            assert!(lives(&endpoint(state)), "{state}");
        }
        assert!(!lives(&endpoint("deleting")));
    }
}
