//! DispatchJob: gives the job to its container: remembers the turn and its task token in the `Jobs` table and puts
//! one message in the mailbox. The state machine then waits for the token to come back.

use std::fmt::Debug;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use mayfly_jobs::signing::Hosts;
use mayfly_jobs::{DataRole, Jobs};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Randomness, Recipe, Step};
use mayfly_model::job::Egress;
use mayfly_model::message::{Assignment, Order};
use mayfly_model::plan::{Plan, Purpose};
use mayfly_model::turn::Turn;
use serde::Deserialize;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<DispatchJob>();

/// The step.
pub struct DispatchJob {
    jobs: Jobs,
    sqs: Client,
    data_role: DataRole,
    randomness: Randomness,
    report_every_seconds: u64,
}

/// What the state hands over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    turn: Turn,
    task_token: String,
}

impl Step for DispatchJob {
    type Input = Input;
    type Output = ();

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            jobs: Jobs::new(environment)?,
            sqs: Client::new(environment.sdk()),
            data_role: DataRole::new(environment, "dispatch-job")?,
            randomness: environment.randomness(),
            report_every_seconds: environment.setting("REPORT_EVERY_SECONDS")?,
        })
    }

    /// The state machine never sees what this returns: it waits for the token.
    #[tracing::instrument(skip_all, fields(job = input.plan.job, start = input.turn.start), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<(), Error> {
        let Input { plan, turn, task_token } = input;
        let Purpose::Work(work) = &plan.purpose else {
            return Err(Error::internal("dispatch the job", "it is a service, which has no work"));
        };
        let nonce = hex::encode(self.randomness.bytes::<16>());
        let nonce = self.jobs.begin(&plan, turn, &task_token, nonce).await?;
        let hosts = Hosts::of(plan.egress() == Some(Egress::Ipv6));
        let order = Order::Run(Assignment {
            inputs: self.data_role.downloads(hosts, &work.inputs).await?,
            input_folders: names(
                work.inputs.iter().filter(|input| input.is_folder()).map(|input| &input.file),
            ),
            outputs: names(work.outputs.iter().map(|output| &output.file)),
            optional_outputs: names(
                work.outputs.iter().filter(|output| output.optional).map(|output| &output.file),
            ),
            lists_outputs: work.output_list.is_some(),
            command: work.command.clone(),
            job: plan.job,
            turn,
            nonce,
            timeout_seconds: plan.timeout_seconds,
            report_every_seconds: self.report_every_seconds,
        });
        let body =
            serde_json::to_string(&order).map_err(|error| Error::internal("write the order", error))?;
        let sent = self.sqs.send_message().queue_url(&plan.mailbox_url).message_body(body).send().await;
        sent.map_err(of_new_mailbox)?;
        tracing::info!("job dispatched");
        Ok(())
    }
}

fn names<'a>(files: impl Iterator<Item = &'a String>) -> Vec<String> {
    files.cloned().collect()
}

/// What it means that the order could not be put in a mailbox which was made moments before. The right to do it depends on
/// the mailbox's tags, which SQS may not see everywhere yet; `AccessDenied` would be for the state machine what a container
/// has reported.
/// Source: SQS API Reference, `CreateQueue`: a new queue can be used after a second. Others met denials because tags were
/// seen late (terraform-provider-aws#32966, #44689).
fn of_new_mailbox<R: Debug + 'static>(error: SdkError<SendMessageError, R>) -> Error {
    let is_missing = error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist());
    match Error::aws("put the order in the job's mailbox")(error) {
        Error::AccessDenied(undone) => Error::NotVisibleYet(undone),
        Error::Internal(undone) if is_missing => Error::Unavailable(undone),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::error::ErrorMetadata;

    use super::*;

    #[test]
    fn a_denial_right_after_the_mailbox_was_made_is_not_taken_for_the_container_s() {
        let refused = |code| {
            let told = ErrorMetadata::builder().code(code).message("Told so.").build();
            of_new_mailbox(SdkError::service_error(SendMessageError::generic(told), ())).name()
        };
        assert_eq!(refused("AccessDenied"), "NotVisibleYet");
        assert_eq!(refused("InvalidMessageContents"), "Internal");
    }
}
