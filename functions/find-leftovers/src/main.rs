//! FindLeftovers: everything that a job has in the account, by its tags. The first search says what was created, the
//! last one proves that nothing is left.

mod compute;
mod network;

use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_lambda::error::Error;
use mayfly_lambda::sdk;
use mayfly_lambda::settings::setting;
use mayfly_model::inventory::Receipt;
use mayfly_model::outcome::CAUSE_LIMIT;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::{Found, Search};
use tokio::try_join;

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
    // Boxed, because all the look-ups at once are a large future.
    run(service_fn(|event: LambdaEvent<Search>| Box::pin(handler(&clients, &settings, event.payload)))).await
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

#[tracing::instrument(skip_all, fields(job = search.job), err(level = "warn"))]
async fn handler(clients: &Clients, settings: &Settings, search: Search) -> Result<Found, Error> {
    let Clients { ec2, ecs, sqs } = clients;
    let (stack, job) = (settings.stack.as_str(), search.job.as_str());
    let owner = Owner { stack, job };
    let (services, (tasks, interfaces), cluster, definitions, mailboxes, network) = try_join!(
        compute::services(ecs, &settings.cluster, owner),
        compute::tasks(ecs, &settings.cluster, owner),
        compute::cluster(ecs, owner),
        compute::task_definitions(ecs, owner),
        compute::mailboxes(sqs, owner, &search.queues),
        network::parts(ec2, owner),
    )?;
    let mut interfaces = network::interfaces(ec2, interfaces).await?;
    // Those in the job's own VPC have been found there.
    interfaces.retain(|interface| network.iter().all(|part| part.id != interface.id));
    let has_network = network.iter().any(|part| !part.is_gone());
    let mut receipt = search.receipt;
    receipt.update(&[services, tasks, cluster, definitions, mailboxes, network, interfaces].concat());
    tracing::info!(created = receipt.created.len(), residual = receipt.residual.len(), "leftovers searched");
    let cause = cause(&receipt)?;
    Ok(Found { empty: receipt.residual.is_empty(), receipt, network: has_network, cause })
}

fn cause(receipt: &Receipt) -> Result<String, Error> {
    let json = |receipt: &Receipt| {
        serde_json::to_string(receipt).map_err(|error| Error::internal("could not write the receipt", error))
    };
    let whole = json(receipt)?;
    if whole.len() > CAUSE_LIMIT { json(&receipt.shortened()) } else { Ok(whole) }
}

#[cfg(test)]
mod tests {
    use mayfly_model::inventory::{Kind, Named};

    use super::*;

    #[test]
    fn a_long_receipt_fits_into_a_cause() {
        let task = |n| Named {
            kind: Kind::Task,
            id: format!("arn:aws:ecs:eu-west-1:123456789012:task/mayfly/{n:032}"),
        };
        let created: Vec<Named> = (0..500).map(task).collect();
        let receipt = Receipt { deleted: created.clone(), created, residual: Vec::new() };
        let cause = cause(&receipt).unwrap();
        assert!(cause.len() <= CAUSE_LIMIT, "{}", cause.len());
        assert_eq!(serde_json::from_str::<Receipt>(&cause).unwrap(), receipt.shortened());
    }
}
