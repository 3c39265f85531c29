//! What the container's two roles are for.

use anyhow::{Context, Result, ensure};
use mayfly_model::class::Class;
use mayfly_model::names::WORKER_CONTAINER;
use mayfly_model::outcome::{JobFailure, Outcome};
use serde_json::{Value, json};
use tokio::try_join;

use super::Rights;
use super::stack::{Stack, denies};
use crate::support::documents::command;
use crate::support::world::until;

const TASK: &str = "TaskRole";
const EXECUTION: &str = "ExecutionRole";
const MAIL: [&str; 3] = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:SendMessage"];
const START: [&str; 3] = ["secretsmanager:GetSecretValue", "ssm:GetParameters", "logs:CreateLogStream"];
const CORRESPONDENT: &str = "rights-mail";
const PUT: &str = "logs:PutLogEvents";
const DECRYPT: &str = "kms:Decrypt";

pub async fn prove(stack: &Stack) -> Result<Rights> {
    stack.limit(TASK, &MAIL).await?;
    stack.limit(EXECUTION, &[PUT]).await?;
    let job = stack.start(CORRESPONDENT, &command(&["true"])).await?;
    denied_on_disk(stack, 1).await?;
    // Its container is there; those of the others will not be.
    stack.limit(EXECUTION, &[&START[..], &[PUT]].concat()).await?;
    let others = start(stack).await?;
    // The log's driver has tried to deliver the first denial before it writes the second one to the disk.
    denied_on_disk(stack, 2).await?;
    let delivered = stack.container_log(CORRESPONDENT).await?;
    ensure!(delivered.is_empty(), "without {PUT}: {delivered:#?}");
    stack.limit(EXECUTION, &START).await?;
    try_join!(mail(stack, &job), failed(stack, others))?;
    decrypted(stack).await?;
    let own = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect();
    Ok([(TASK.to_owned(), own(&MAIL)), (EXECUTION.to_owned(), own(&[&START[..], &[PUT, DECRYPT]].concat()))]
        .into())
}

/// Waits until the container has been told so often, by its output on the disk, that it may not read its mailbox.
async fn denied_on_disk(stack: &Stack, times: usize) -> Result<()> {
    let tasks = stack.world.folder().join("tasks");
    until("a container that is denied its mail", || async {
        let mut denials = 0;
        for task in std::fs::read_dir(&tasks)? {
            // A task that is on its way has none.
            let folder = task?.path().join(WORKER_CONTAINER);
            let Ok(output) = std::fs::read_to_string(folder.join("output.log")) else { continue };
            let of_job = output.lines().filter(|line| line.contains(CORRESPONDENT));
            denials += of_job.filter(|line| denies(line, MAIL[0])).count();
        }
        Ok((denials >= times).then_some(()))
    })
    .await
}

/// The worker tries everything again, so one job tells of each action, and succeeds when it has all of them.
async fn mail(stack: &Stack, job: &str) -> Result<()> {
    for (given, action) in MAIL.iter().enumerate() {
        stack.limit(TASK, &MAIL[given..]).await?;
        until(&format!("the container to be denied {action}"), || async {
            let log = stack.container_log(CORRESPONDENT).await?;
            Ok(log.iter().any(|line| denies(line, action)).then_some(()))
        })
        .await?;
    }
    stack.limit(TASK, &[]).await?;
    stack.succeeded(job).await
}

/// Starts a job for each right that a container needs to start.
async fn start(stack: &Stack) -> Result<[(String, &'static str); 3]> {
    let [secret, parameter, log] = START;
    Ok([
        (stack.start("rights-secret", &with_secret(&stack.secret)).await?, secret),
        (stack.start("rights-parameter", &with_secret(&stack.parameter)).await?, parameter),
        (stack.start("rights-log", &command(&["true"])).await?, log),
    ])
}

fn with_secret(arn: &str) -> Value {
    let mut document = command(&["true"]);
    document["container"] = json!({ "secrets": { "SECRET": arn } });
    document
}

/// What a customer's key encrypts takes one right more, of which neither service's words tell the name.
async fn decrypted(stack: &Stack) -> Result<()> {
    let words = ["Access to KMS is not allowed", "The ciphertext refers to a customer master key"];
    let [secret, parameter] = &stack.encrypted;
    stack.limit(EXECUTION, &[DECRYPT]).await?;
    let denied = [
        stack.start("rights-encrypted-secret", &with_secret(secret)).await?,
        stack.start("rights-encrypted-parameter", &with_secret(parameter)).await?,
    ];
    for (job, words) in denied.iter().zip(words) {
        let failure = failure(stack, job).await?;
        ensure!(failure.error == Class::AccessDenied && failure.message.contains(words), "{failure:#?}");
    }
    stack.limit(EXECUTION, &[]).await?;
    let mut both = command(&["true"]);
    both["container"] = json!({ "secrets": { "SECRET": secret, "PARAMETER": parameter } });
    let allowed = stack.start("rights-decrypted", &both).await?;
    stack.succeeded(&allowed).await
}

/// A job whose container cannot start tells which right it lacks.
async fn failed(stack: &Stack, jobs: [(String, &str); 3]) -> Result<()> {
    for (job, action) in jobs {
        let failure = failure(stack, &job).await?;
        ensure!(
            failure.error == Class::AccessDenied && denies(&failure.message, action),
            "{action}: {failure:#?}"
        );
    }
    Ok(())
}

async fn failure(stack: &Stack, job: &str) -> Result<JobFailure> {
    let ended = stack.world.ended(job).await?;
    let outcome: Outcome = serde_json::from_str(ended.cause().context("the job has failed")?)?;
    outcome.end.failure().cloned().context("a failure says why")
}
