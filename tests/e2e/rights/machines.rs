//! What the roles of machines, rules and schedules are for.

use anyhow::{Context, Result, ensure};
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use local_cloud::{ACCOUNT, REGION};
use mayfly_model::names::Names;
use serde_json::{Value, json};
use tokio::try_join;

use super::Rights;
use super::stack::{NAME, Stack, denies, execution, machine};
use crate::support::denial::Denial;
use crate::support::documents::command;
use crate::support::world::until;

const RUN_JOB: &str = "RunJobStateMachineRole";
const TEAR_DOWN: &str = "TearDownStateMachineRole";
const JOB_ENDED: &str = "JobEndedRuleRole";
const CREATE_QUEUE: &str = "CreateQueueFunctionRole";

/// A machine that starts another makes a rule when it is taken in, here at its first start.
pub async fn may_make_their_rule(stack: &Stack) -> Result<Rights> {
    let actions = ["events:DescribeRule", "events:PutRule", "events:PutTargets"];
    for action in actions {
        stack.limit(RUN_JOB, &[action]).await?;
        let start = stack.world.try_start(&machine("run-job"), "rights-rule", &json!({})).await;
        let refused = start.err().context("the machine may not make its rule")?;
        ensure!(denies(refused.message().unwrap_or_default(), action), "without {action}: {refused:?}");
    }
    stack.limit(RUN_JOB, &[]).await?;
    Ok([(RUN_JOB.to_owned(), actions.map(str::to_owned).into())].into())
}

/// A teardown that cannot remove everything cannot tell anybody. Only this job is disturbed, so that others may run.
pub async fn may_tell_of_leftovers(stack: &Stack) -> Result<Rights> {
    let (job, action) = ("rights-untold", "events:PutEvents");
    let url = stack.mailbox(job, "2100-01-01T00:00:00Z").await?;
    let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", url.rsplit('/').next().unwrap_or_default());
    let role = stack.id("DeleteQueueFunctionRole")?;
    let denial = Denial::to_role(&stack.world, role, job, "sqs:DeleteQueue", &queue).await?;
    stack.limit(TEAR_DOWN, &[action]).await?;
    let input = json!({ "job": job, "caller": "run-job", "stragglerSeconds": 0 });
    let teardown = stack.world.try_start(&machine("tear-down"), job, &input).await?;
    stack.denied_in(&teardown, action).await?;
    stack.limit(TEAR_DOWN, &[]).await?;
    denial.lift(&stack.world).await?;
    // A sweep has it torn down as well.
    let deleted = stack.world.sqs.delete_queue().queue_url(url).send().await;
    let deleted = deleted.map_err(SdkError::into_service_error);
    ensure!(deleted.as_ref().err().is_none_or(|error| error.is_queue_does_not_exist()), "{deleted:?}");
    Ok([(TEAR_DOWN.to_owned(), [action.to_owned()].into())].into())
}

pub async fn prove(stack: &Stack) -> Result<Rights> {
    no_function_may_be_invoked(stack).await?;
    // All jobs below fail at their first step, without a container.
    stack.limit(CREATE_QUEUE, &["sqs:CreateQueue"]).await?;
    no_teardown_may_be_started(stack).await?;
    stack.limit(RUN_JOB, &["states:DescribeExecution", "states:StopExecution"]).await?;
    try_join!(a_teardown_may_not_be_stopped(stack), a_teardown_may_not_be_followed(stack))?;
    stack.limit(RUN_JOB, &[]).await?;
    stack.limit(CREATE_QUEUE, &[]).await?;
    let proven = [
        (
            RUN_JOB,
            &[
                "lambda:InvokeFunction",
                "states:DescribeExecution",
                "states:StartExecution",
                "states:StopExecution",
            ][..],
        ),
        (TEAR_DOWN, &["lambda:InvokeFunction"]),
        (JOB_ENDED, &["states:StartExecution"]),
    ];
    let own = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect();
    Ok(proven.into_iter().map(|(role, actions)| (role.to_owned(), own(actions))).collect())
}

/// Neither by the one machine nor by the other.
async fn no_function_may_be_invoked(stack: &Stack) -> Result<()> {
    stack.limit(RUN_JOB, &["lambda:InvokeFunction"]).await?;
    let job = stack.start("rights-uninvoked", &json!({})).await?;
    stack.denied_in(&job, "lambda:InvokeFunction").await?;
    stack.limit(RUN_JOB, &[]).await?;

    stack.limit(TEAR_DOWN, &["lambda:InvokeFunction"]).await?;
    let input = json!({ "job": "rights-uninvoked", "caller": "a person" });
    let teardown = stack.world.try_start(&machine("tear-down"), "rights-uninvoked", &input).await?;
    stack.denied_in(&teardown, "lambda:InvokeFunction").await?;
    stack.limit(TEAR_DOWN, &[]).await
}

/// What this job has left is taken down by the rule.
async fn no_teardown_may_be_started(stack: &Stack) -> Result<()> {
    stack.limit(RUN_JOB, &["states:StartExecution"]).await?;
    let job = stack.start("rights-unstarted", &document()).await?;
    stack.denied_in(&job, "states:StartExecution").await?;
    stack.limit(RUN_JOB, &[]).await?;
    stack.world.ended(&job).await?;
    Ok(())
}

/// The nested execution lives on when its parent is stopped.
async fn a_teardown_may_not_be_stopped(stack: &Stack) -> Result<()> {
    let name = "rights-unstopped";
    let job = stack.start(name, &document()).await?;
    let nested = nested(name);
    ensure!(
        stack.world.entered(&nested, "FindLeftovers").await?,
        "the teardown of {name} has ended too early"
    );
    stack.world.stop_execution(&job).await?;
    stack.succeeded(&nested).await
}

/// The outcome of the teardown cannot be read, and the rule cannot start another one.
async fn a_teardown_may_not_be_followed(stack: &Stack) -> Result<()> {
    let name = "rights-unfollowed";
    let job = stack.start(name, &document()).await?;
    let nested = nested(name);
    ensure!(
        stack.world.entered(&nested, "FindLeftovers").await?,
        "the teardown of {name} has ended too early"
    );
    stack.limit(JOB_ENDED, &["states:StartExecution"]).await?;
    stack.denied_in(&job, "states:DescribeExecution").await?;
    until("the rule to be denied states:StartExecution", || async {
        let caller = format!("assumed-role/{}/", stack.id(JOB_ENDED)?);
        let calls = stack.world.cloud().calls().snapshot();
        let mut of_rule = calls.iter().filter(|call| call.caller.contains(&caller));
        let denied = of_rule.any(|call| {
            (call.action.as_str(), call.outcome.as_str())
                == ("states:StartExecution", "AccessDeniedException")
        });
        Ok(denied.then_some(()))
    })
    .await?;
    stack.limit(JOB_ENDED, &[]).await
}

/// The ARN of the teardown that the job's own execution calls.
fn nested(job: &str) -> String {
    execution("tear-down", &Names::new(NAME, job).teardown())
}

fn document() -> Value {
    command(&["true"])
}
