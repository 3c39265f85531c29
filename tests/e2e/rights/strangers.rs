//! Two stacks in one account never touch each other, though what the one may do to `mayfly-*` fits the other's names.

use anyhow::{Context, Result, ensure};
use aws_config::SdkConfig;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use mayfly_common::names::Names;
use serde_json::json;

use super::stack::{NAME, Stack};
use crate::world::{STACK, World, command};

pub async fn meet(stack: &Stack, job: &str) -> Result<()> {
    let world = &stack.world;
    let theirs = world.start_job(job, &command(&["sleep", "600"])).await?;
    ensure!(world.entered(&theirs, "DispatchJob").await?, "{job} does not come to DispatchJob");
    look_alikes(stack, job).await?;
    forced(stack, job).await?;
    stack.call("delete-queue", &json!({ "job": job })).await?;
    world.stop_execution(&theirs).await?;
    world.torn_down_by_rule(job).await?;
    world.nothing_left(job).await
}

/// A job of the same id in the other stack is neither found nor deleted, not even what bears a name of this stack.
async fn look_alikes(stack: &Stack, job: &str) -> Result<()> {
    let sqs = &stack.world.sqs;
    let tags = [("mayfly:stack", STACK), ("mayfly:job", job)];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let name = Names::new(NAME, job).mailbox("of-the-other-stack");
    let look_alike = sqs.create_queue().queue_name(name).set_tags(Some(tags)).send().await?.queue_url;
    let look_alike = look_alike.context("a queue has a URL")?;

    let receipt = json!({ "created": [], "deleted": [], "residual": [] });
    let found = stack.call("find-leftovers", &json!({ "job": job, "receipt": receipt })).await?;
    ensure!(found == receipt, "{NAME} finds {found:#}");
    for function in ["delete-service", "delete-queue", "delete-task"] {
        let deleted = stack.call(function, &json!({ "job": job })).await?;
        ensure!(deleted == json!({ "deleted": 0 }), "{function} of {NAME}: {deleted:#}");
    }
    let swept = stack.call("sweep-expired", &json!({})).await?;
    ensure!(swept == json!({ "stopped": [], "tornDown": [] }), "{NAME} sweeps {swept:#}");
    let left = stack.world.cloud().leftovers(job).await?;
    ensure!(left.contains(&look_alike) && left.len() > 3, "this is left of {job}: {left:#?}");
    sqs.delete_queue().queue_url(look_alike).send().await?;
    Ok(())
}

/// With the other stack's roles in hand, and against names that fit them, only the conditions on tags and cluster refuse.
async fn forced(stack: &Stack, job: &str) -> Result<()> {
    let plan = stack.plan(job).await?;
    stack.call("create-queue", &json!(plan)).await?;
    let service = stack.service(job).await?;
    stack.call("create-service", &service).await?;
    let definition = service["taskDefinition"].as_str().context("a definition has an ARN")?;
    let (world, mailbox) = (&stack.world, &plan.mailbox_url);

    let deleter = aws_sdk_sqs::Client::new(&config_as(world, "delete-queue").await?);
    denied("DeleteQueue", deleter.delete_queue().queue_url(mailbox).send().await)?;
    let dispatcher = aws_sdk_sqs::Client::new(&config_as(world, "dispatch-job").await?);
    denied("SendMessage", dispatcher.send_message().queue_url(mailbox).message_body("{}").send().await)?;
    let creator = aws_sdk_sqs::Client::new(&config_as(world, "create-queue").await?);
    let tags = [("mayfly:stack".to_owned(), NAME.to_owned())].into();
    let forged = creator.create_queue().queue_name(format!("{}x", plan.mailbox_name)).set_tags(Some(tags));
    denied("CreateQueue", forged.send().await)?;

    let ecs = world.cloud().upstream().ecs.clone();
    let as_ecs = async |function| -> Result<_> {
        let config = config_as(world, function).await?.to_builder().endpoint_url(&ecs).build();
        Ok(aws_sdk_ecs::Client::new(&config))
    };
    let deleting = as_ecs("delete-service").await?.delete_service().force(true);
    let deleting = deleting.cluster(stack.id("Cluster")?).service(Names::new(NAME, job).service(1));
    denied("DeleteService", deleting.send().await)?;
    let deleting = as_ecs("delete-task").await?.delete_task_definitions();
    denied("DeleteTaskDefinitions", deleting.task_definitions(definition).send().await)?;
    let own = world.cloud().leftovers(job).await?;
    ensure!(own.contains(mailbox) && own.iter().any(|arn| arn == definition), "{own:#?}");

    // Now as those that they belong to.
    until_deleted(stack, job).await?;
    stack.call("delete-task", &json!({ "job": job })).await?;
    Ok(())
}

async fn until_deleted(stack: &Stack, job: &str) -> Result<()> {
    crate::world::until(&format!("the service of {job} to be gone"), || async {
        Ok(stack.invoke("delete-service", &json!({ "job": job })).await?.ok())
    })
    .await?;
    Ok(())
}

/// A client's configuration with the keys of the role that a function of the other stack has.
async fn config_as(world: &World, function: &str) -> Result<SdkConfig> {
    let name = world.function(function).await?;
    let configuration = world.lambda.get_function_configuration().function_name(name).send().await?;
    let role = configuration.role.context("a function has a role")?;
    world.cloud().upstream().role_config(&role, "stranger").await
}

fn denied<T, E: ProvideErrorMetadata>(action: &str, answer: Result<T, E>) -> Result<()> {
    let error = answer.err().with_context(|| format!("the other stack may {action}"))?;
    let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
    ensure!(code.starts_with("AccessDenied") && message.contains(action), "{action}: {code}: {message}");
    Ok(())
}
