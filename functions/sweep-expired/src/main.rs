//! SweepExpired: on a schedule, finds what every other teardown has missed. A job that ended a while ago and still has
//! resources gets a teardown; one past its expiry that still runs is stopped, and the stack's rule does the rest.

mod jobs;

use aws_sdk_sfn::types::ExecutionStatus;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{LambdaEvent, run, service_fn, tracing};
use mayfly_common::error::Error;
use mayfly_common::names::Names;
use mayfly_common::sdk;
use mayfly_common::settings::setting;
use serde::Serialize;
use serde_json::{Value, json};

use crate::jobs::Job;

/// How long after a job's end its own teardown, or the rule's, is left alone.
const GRACE: SignedDuration = SignedDuration::from_mins(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let settings = Settings {
        stack: setting("STACK_NAME")?,
        cluster: setting("CLUSTER_ARN")?,
        run_job_executions: setting("RUN_JOB_EXECUTION_PREFIX")?,
        tear_down: setting("TEAR_DOWN_MACHINE_ARN")?,
    };
    let config = sdk::config()?;
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        ecs: aws_sdk_ecs::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
    };
    run(service_fn(|_: LambdaEvent<Value>| handler(&clients, &settings))).await
}

struct Settings {
    stack: String,
    cluster: String,
    /// The ARN of an execution of run-job, up to its name.
    run_job_executions: String,
    tear_down: String,
}

struct Clients {
    ec2: aws_sdk_ec2::Client,
    ecs: aws_sdk_ecs::Client,
    sfn: aws_sdk_sfn::Client,
    sqs: aws_sdk_sqs::Client,
}

/// What was done, by job.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Swept {
    stopped: Vec<String>,
    torn_down: Vec<String>,
}

async fn handler(clients: &Clients, settings: &Settings) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    let mut failure = None;
    for job in jobs::with_resources(clients, settings).await? {
        // One job that cannot be swept must not hold up the others.
        if let Err(error) = sweep(clients, settings, &job, &mut swept).await {
            tracing::error!(job = job.id, %error, "job not swept");
            failure = Some(error);
        }
    }
    tracing::info!(stopped = ?swept.stopped, torn_down = ?swept.torn_down, "jobs swept");
    failure.map_or(Ok(swept), Err)
}

async fn sweep(clients: &Clients, settings: &Settings, job: &Job, swept: &mut Swept) -> Result<(), Error> {
    match due(clients, settings, job).await? {
        Due::Nothing => {}
        Due::Stop => {
            stop(clients, settings, job).await?;
            swept.stopped.push(job.id.clone());
        }
        Due::TearDown => {
            tear_down(clients, settings, job).await?;
            swept.torn_down.push(job.id.clone());
        }
    }
    Ok(())
}

enum Due {
    Nothing,
    Stop,
    TearDown,
}

async fn due(clients: &Clients, settings: &Settings, job: &Job) -> Result<Due, Error> {
    let now = Timestamp::now();
    let described = clients.sfn.describe_execution().execution_arn(job.execution(settings)).send().await;
    let execution = match described {
        Ok(execution) => execution,
        // Step Functions forgets an execution 90 days after its end.
        Err(error) if error.as_service_error().is_some_and(|e| e.is_execution_does_not_exist()) => {
            return Ok(Due::TearDown);
        }
        Err(error) => return Err(Error::aws("describe the job's execution")(error)),
    };
    if execution.status == ExecutionStatus::Running {
        return Ok(if job.expiry.is_some_and(|expiry| expiry < now) { Due::Stop } else { Due::Nothing });
    }
    let ended = execution.stop_date.and_then(|date| Timestamp::from_second(date.secs()).ok());
    Ok(if ended.is_none_or(|ended| ended + GRACE < now) { Due::TearDown } else { Due::Nothing })
}

async fn stop(clients: &Clients, settings: &Settings, job: &Job) -> Result<(), Error> {
    clients
        .sfn
        .stop_execution()
        .execution_arn(job.execution(settings))
        .error("Expired")
        .cause("the job is past its expiry")
        .send()
        .await
        .map_err(Error::aws("stop a job that is past its expiry"))?;
    tracing::warn!(job = job.id, "job stopped: it is past its expiry");
    Ok(())
}

/// The hour is in the name, so that two sweeps make one teardown, and one that failed is tried again.
async fn tear_down(clients: &Clients, settings: &Settings, job: &Job) -> Result<(), Error> {
    let hour = Timestamp::now().strftime("%Y-%m-%dT%H");
    let started = clients
        .sfn
        .start_execution()
        .state_machine_arn(&settings.tear_down)
        .name(format!("{}-sweep-{hour}", Names::new(&settings.stack, &job.id).base()))
        .input(json!({ "job": job.id, "caller": "sweep-expired" }).to_string())
        .send()
        .await;
    match started {
        Ok(_) => tracing::warn!(job = job.id, "teardown started: the job has ended and left something"),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_execution_already_exists()) => {}
        Err(error) => return Err(Error::aws("start a teardown")(error)),
    }
    Ok(())
}
