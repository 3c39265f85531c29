//! CheckEndpoints: whether the endpoints through which the container calls AWS are available. They take minutes, and what was
//! wrong with their making shows only now.
//! Source: EC2 API Reference, `VpcEndpoint`, `State` and `LastError`.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::VpcEndpoint;
use mayfly_ec2::find::{self, Described};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

const DOING: &str = "prepare the job's endpoints";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CheckEndpoints>();

/// The step.
pub struct CheckEndpoints {
    ec2: Client,
    stack: String,
    region: String,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Available {}

impl Step for CheckEndpoints {
    type Input = Input;
    type Output = Available;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            region: environment.setting("AWS_REGION")?,
        })
    }

    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "info"))]
    async fn run(&self, input: Input) -> Result<Available, Error> {
        let Self { ec2, stack, region } = self;
        let Input { plan } = input;
        let found = find::owned::<VpcEndpoint>(ec2, Owner { stack, job: &plan.job }).await?;
        let pending: Vec<&str> = plan
            .interface_endpoints()
            .into_iter()
            .map(|service| Ok((service, is_available(&found, &mayfly_ec2::service_name(region, service))?)))
            .filter_map(|looked| looked.map(|(service, is)| (!is).then_some(service)).transpose())
            .collect::<Result<_, Error>>()?;
        if !pending.is_empty() {
            return Err(Error::EndpointsPending(format!("endpoints are pending: {}", pending.join(", "))));
        }
        tracing::info!("endpoints available");
        Ok(Available {})
    }
}

/// Whether one of the job's endpoints of the service is available; not yet where none is seen. The SDK knows the states with a
/// capital letter, and the wire has them in small ones.
fn is_available(endpoints: &[VpcEndpoint], service: &str) -> Result<bool, Error> {
    let of_service = endpoints.iter().filter(|endpoint| endpoint.service_name() == Some(service));
    let mut ended = None;
    for endpoint in of_service {
        match endpoint.state_name().to_ascii_lowercase().as_str() {
            "available" => return Ok(true),
            "pending" | "pendingacceptance" | "partial" => return Ok(false),
            state => ended = Some(format!("{} of {service} is {state}{}", endpoint.id(), told(endpoint))),
        }
    }
    match ended {
        None => Ok(false),
        Some(ended) => Err(Error::internal(DOING, format!("{ended}; nothing of the job has run"))),
    }
}

/// What AWS says of an endpoint that has failed.
fn told(endpoint: &VpcEndpoint) -> String {
    let error = endpoint.last_error();
    let code = error.and_then(|error| error.code());
    let message = error.and_then(|error| error.message()).or(endpoint.failure_reason());
    let words: Vec<&str> = [Some(""), code, message].into_iter().flatten().collect();
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{LastError, State};

    use super::*;

    fn endpoint(state: &str) -> VpcEndpoint {
        let error = LastError::builder().code("Client.NoAddress").message("The subnet is full.").build();
        VpcEndpoint::builder()
            .vpc_endpoint_id("vpce-1")
            .service_name("logs")
            .state(State::from(state))
            .last_error(error)
            .build()
    }

    fn looked(states: &[&str]) -> Result<bool, Error> {
        is_available(&states.iter().map(|state| endpoint(state)).collect::<Vec<_>>(), "logs")
    }

    #[test]
    fn an_endpoint_is_waited_for_until_it_is_available() {
        assert!(!looked(&[]).unwrap(), "it is not described yet");
        for pending in ["pending", "Pending", "pendingAcceptance"] {
            assert!(!looked(&[pending]).unwrap(), "{pending}");
        }
        assert!(looked(&["available"]).unwrap() && looked(&["deleted", "Available"]).unwrap());
        assert!(!is_available(&[endpoint("available")], "sqs").unwrap(), "another service's");
    }

    #[test]
    fn an_endpoint_that_has_ended_says_why_in_awss_words() {
        for ended in ["failed", "rejected", "expired", "deleting", "deleted"] {
            let error = looked(&[ended]).unwrap_err();
            assert_eq!(error.name(), "Internal");
            let message = error.to_string();
            let expected =
                format!("vpce-1 of logs is {ended}: Client.NoAddress: The subnet is full.; nothing");
            assert!(message.contains(&expected), "{message}");
        }
    }
}
