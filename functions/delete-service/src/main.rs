//! DeleteService: ends the job's services and says StillInUse until the last task has stopped, because a service may
//! be INACTIVE while its tasks still hold their network interfaces.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{DesiredStatus, Service, ServiceField, Task, TaskField};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::names::Names;
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use mayfly_common::tags;
use mayfly_common::teardown::Target;
use serde::Serialize;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let settings = Settings { stack: setting("STACK_NAME")?, cluster: setting("CLUSTER_ARN")? };
    let ecs = Client::new(&sdk::config()?);
    run(service_fn(|event: LambdaEvent<Target>| handler(&ecs, &settings, event.payload))).await
}

struct Settings {
    stack: String,
    cluster: String,
}

#[derive(Debug, Serialize)]
struct Deleted {
    deleted: usize,
}

#[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
async fn handler(ecs: &Client, settings: &Settings, target: Target) -> Result<Deleted, Error> {
    let names = Names::new(&settings.stack, &target.job);
    let services = find_services(ecs, settings, &names, &target.job).await?;
    for service in services.iter().filter(|service| service.status() == Some("ACTIVE")) {
        delete(ecs, settings, service).await?;
    }
    let tasks = find_tasks(ecs, settings, &names, &target.job).await?;
    let draining = services
        .iter()
        .filter(|service| service.status() != Some("INACTIVE"))
        .map(|_| "service DRAINING".to_owned());
    let stopping = tasks.iter().map(|task| format!("task {}", task.last_status().unwrap_or("UNKNOWN")));
    let waiting: Vec<String> = draining.chain(stopping).collect();
    if !waiting.is_empty() {
        return Err(Error::StillInUse(format!("not gone yet: {}", waiting.join(", "))));
    }
    Ok(Deleted { deleted: services.len() })
}

async fn delete(ecs: &Client, settings: &Settings, service: &Service) -> Result<(), Error> {
    let deletion =
        ecs.delete_service().cluster(&settings.cluster).set_service(service.service_arn.clone()).force(true);
    match deletion.send().await {
        Ok(_) => tracing::info!(service = service.service_arn, "service deleted"),
        Err(error) => match error.as_service_error() {
            Some(e) if e.is_service_not_found_exception() => {}
            // "The service cannot be stopped while deployments are active."
            // Source: terraform-provider-aws, internal/service/ecs/service.go, which retries it.
            Some(e)
                if e.is_invalid_parameter_exception() && e.to_string().contains("deployments are active") =>
            {
                return Err(Error::StillInUse(e.to_string()));
            }
            _ => return Err(Error::aws("delete the job's service")(error)),
        },
    }
    Ok(())
}

async fn find_services(
    ecs: &Client,
    settings: &Settings,
    names: &Names,
    job: &str,
) -> Result<Vec<Service>, Error> {
    let described = ecs
        .describe_services()
        .cluster(&settings.cluster)
        .set_services(Some(names.services()))
        .include(ServiceField::Tags)
        .send()
        .await
        .map_err(Error::aws("describe the job's services"))?;
    let mut services = described.services.unwrap_or_default();
    services.retain(|service| {
        let pairs = service.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
        tags::belong_to(pairs, &settings.stack, job)
    });
    Ok(services)
}

/// The job's tasks that have not stopped, those whose stop has begun included.
async fn find_tasks(ecs: &Client, settings: &Settings, names: &Names, job: &str) -> Result<Vec<Task>, Error> {
    let mut tasks = Vec::new();
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let list = ecs.list_tasks().cluster(&settings.cluster).family(names.family()).desired_status(desired);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let arns = page.map_err(Error::aws("list the job's tasks"))?.task_arns.unwrap_or_default();
            if arns.is_empty() {
                continue;
            }
            let described = ecs
                .describe_tasks()
                .cluster(&settings.cluster)
                .set_tasks(Some(arns))
                .include(TaskField::Tags)
                .send()
                .await
                .map_err(Error::aws("describe the job's tasks"))?;
            tasks.extend(described.tasks.unwrap_or_default());
        }
    }
    tasks.retain(|task| {
        let pairs = task.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
        tags::belong_to(pairs, &settings.stack, job)
            && !matches!(task.last_status(), Some("STOPPED" | "DELETED"))
    });
    Ok(tasks)
}
