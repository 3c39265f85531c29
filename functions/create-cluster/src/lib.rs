//! CreateCluster: the cluster of a job that has a network of its own. It costs nothing.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{ClusterSetting, ClusterSettingName};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::names::Names;
use mayfly_model::plan::Plan;
use mayfly_model::turn::Provider;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateCluster>();

/// The step.
pub struct CreateCluster {
    ecs: Client,
    stack: String,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Created {
    /// Its ARN.
    cluster: String,
}

impl Step for CreateCluster {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ecs: Client::new(environment.sdk()), stack: environment.setting("STACK_NAME")? })
    }

    /// The same name gives the same cluster, so a retry finds what the first try made.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's cluster";
        let Self { ecs, stack } = self;
        let Input { plan } = input;
        let created = ecs
            .create_cluster()
            .cluster_name(Names::new(stack, &plan.job).cluster())
            .capacity_providers(Provider::OnDemand.name())
            .capacity_providers(Provider::Spot.name())
            .settings(without_insights())
            .set_tags(Some(mayfly_ecs::tags(&plan.tags)))
            .send()
            .await;
        let created = match created {
            Ok(created) => created,
            Err(error) if is_role_missing(&error) => {
                let detail = error.message().unwrap_or_default().to_owned();
                return Err(Error::unavailable(DOING, detail));
            }
            Err(error) => return Err(Error::aws(DOING)(error)),
        };
        let arn = created.cluster.and_then(|cluster| cluster.cluster_arn);
        let cluster = given(DOING, "clusterArn", arn)?;
        tracing::info!(cluster, "cluster created");
        Ok(Created { cluster })
    }
}

/// The account may switch Container Insights on for every new cluster, and its metrics bill.
/// Source: ECS API Reference, `PutAccountSettingDefault`, `containerInsights`.
fn without_insights() -> ClusterSetting {
    ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value("disabled").build()
}

/// Whether AWS is still making ECS's own role, which takes a minute when an account uses ECS for the first time.
/// Source: ECS developer guide, "Using service-linked roles for Amazon ECS".
fn is_role_missing(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("InvalidParameterException")
        && error.message().is_some_and(|message| message.contains("assume the service linked role"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::error::ErrorMetadata;

    use super::*;

    #[test]
    fn a_new_accounts_missing_role_is_told_from_other_refusals() {
        let refusal = |message| {
            is_role_missing(
                &ErrorMetadata::builder().code("InvalidParameterException").message(message).build(),
            )
        };
        assert!(refusal(
            "Unable to assume the service linked role. Please verify that the ECS service linked role exists."
        ));
        assert!(!refusal("Invalid cluster name."));
    }
}
