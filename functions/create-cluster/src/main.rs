//! CreateCluster: the cluster of a job that has a network of its own. It costs nothing.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{ClusterSetting, ClusterSettingName};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::names::Names;
use mayfly_model::plan::Plan;
use mayfly_model::turn::Provider;
use serde::{Deserialize, Serialize};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let stack: String = setting("STACK_NAME")?;
    let ecs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Input>| handler(&ecs, &stack, event.payload))).await
}

#[derive(Debug, Deserialize)]
struct Input {
    plan: Plan,
}

#[derive(Debug, Serialize)]
struct Created {
    /// Its ARN.
    cluster: String,
}

/// The same name gives the same cluster, so a retry finds what the first try made.
#[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
async fn handler(ecs: &Client, stack: &str, input: Input) -> Result<Created, Error> {
    const DOING: &str = "create the job's cluster";
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
            return Err(Error::Unavailable { doing: format!("could not {DOING}"), detail });
        }
        Err(error) => return Err(Error::aws(DOING)(error)),
    };
    let arn = created.cluster.and_then(|cluster| cluster.cluster_arn);
    let cluster = given(DOING, "clusterArn", arn)?;
    tracing::info!(cluster, "cluster created");
    Ok(Created { cluster })
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
