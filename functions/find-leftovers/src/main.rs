//! FindLeftovers: everything that a job has in the account, by its tags. The first search says what was created, the
//! last one proves that nothing is left.

mod compute;
mod queues;

use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::inventory::Receipt;
use mayfly_common::job::check_id;
use mayfly_common::names::Names;
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use mayfly_common::teardown::Search;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let settings = Settings { stack: setting("STACK_NAME")?, cluster: setting("CLUSTER_ARN")? };
    let config = sdk::config()?;
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        ecs: aws_sdk_ecs::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
    };
    run(service_fn(|event: LambdaEvent<Search>| handler(&clients, &settings, event.payload))).await
}

struct Settings {
    stack: String,
    cluster: String,
}

struct Clients {
    ec2: aws_sdk_ec2::Client,
    ecs: aws_sdk_ecs::Client,
    sqs: aws_sdk_sqs::Client,
}

/// Whose resources are looked for.
struct Owner<'a> {
    stack: &'a str,
    job: &'a str,
    names: Names,
}

#[tracing::instrument(skip_all, fields(job = search.job), err(level = "warn"))]
async fn handler(clients: &Clients, settings: &Settings, search: Search) -> Result<Receipt, Error> {
    check_id(&search.job).map_err(Error::InvalidJob)?;
    let names = Names::new(&settings.stack, &search.job);
    let owner = Owner { stack: &settings.stack, job: &search.job, names };
    let mut found = compute::services(&clients.ecs, &settings.cluster, &owner).await?;
    found.extend(compute::tasks(&clients.ecs, &clients.ec2, &settings.cluster, &owner).await?);
    found.extend(compute::task_definitions(&clients.ecs, &owner).await?);
    found.extend(queues::mailboxes(&clients.sqs, &owner).await?);
    let mut receipt = search.receipt;
    receipt.update(&found);
    tracing::info!(created = receipt.created.len(), residual = receipt.residual.len(), "leftovers searched");
    Ok(receipt)
}
