//! The world of the tests: a local cloud with the stack deployed, and the questions that a test asks about a job.
//!
//! Every question goes through AWS's own APIs. Whoever waits looks again until a deadline; nobody just sleeps.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use local_aws::calls::Call;
use local_aws::clock::{Clock, TimeScale};
use local_cloud::deploy::DATA_BUCKET;
use local_cloud::leftovers::Belonging;
use local_cloud::{ACCOUNT, Cloud, Options, REGION, ffmpeg};
use mayfly_model::names::{Names, job_id};
use mayfly_model::outcome::Outcome;
use mayfly_model::record;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::support::account::Account;
use crate::support::history::states_entered;
use crate::support::teardowns::Teardowns;

/// The stack that the tests deploy.
pub const STACK: &str = "mayfly";
/// The length of `in.mp4`, the test video.
pub const VIDEO_SECONDS: u32 = 5;
/// The longest silence of a container, in the cloud's time: as short as a busy machine allows.
pub const HEARTBEAT_SECONDS: u32 = 200;
/// How long a test waits for something that it expects, in real time, when others use the same machine.
const PATIENCE: Duration = Duration::from_mins(3);
/// The pause between two looks, in real time.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The same for a state that a test wants to catch, shorter than any of them lasts.
const GLANCE: Duration = Duration::from_millis(10);

/// An item of the table of jobs.
pub type Item = HashMap<String, AttributeValue>;

/// A local cloud with the stack deployed.
pub struct World {
    cloud: Cloud,
    pub states: aws_sdk_sfn::Client,
    pub s3: aws_sdk_s3::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub iam: aws_sdk_iam::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub known_teardowns: Teardowns,
}

impl World {
    /// Starts the account's cloud, deploys the stack and puts the test video into its bucket.
    pub async fn start(account: Account) -> Result<Self> {
        let scale = std::env::var("MAYFLY_TIME_SCALE").map_or(Ok(TimeScale::new(0.1)), |text| text.parse());
        let scale = scale.map_err(|error| anyhow!("MAYFLY_TIME_SCALE: {error}"))?;
        let (ec2_quotas, ecs_quotas) = account.quotas();
        let options = Options {
            tools: folder("MAYFLY_TOOLS")?,
            programs: folder("MAYFLY_PROGRAMS")?,
            // What the tests' containers do takes seconds, and a test of their clocks shall not wait for minutes.
            clock: Clock::new(scale, scale),
            ec2_quotas,
            ecs_quotas,
            elb_quotas: local_elb::Quotas::default(),
        };
        let cloud = Cloud::start(options).await?;
        let heartbeat = format!("HeartbeatSeconds={HEARTBEAT_SECONDS}");
        cloud.deploy(repository(), STACK, &["ReportEverySeconds=2", &heartbeat]).await?;
        let config = cloud.sdk_config();
        let states = config.to_builder().endpoint_url(&cloud.upstream().states).build();
        let world = Self {
            states: aws_sdk_sfn::Client::new(&states),
            s3: cloud.s3(),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            ec2: cloud.ec2(),
            ecs: cloud.ecs(),
            iam: aws_sdk_iam::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            known_teardowns: Teardowns::default(),
            cloud,
        };
        let video = world.cloud.folder().join("in.mp4");
        ffmpeg::make_video(&world.ffmpeg(), &video, VIDEO_SECONDS).await?;
        world.put("in.mp4", ByteStream::from_path(&video).await?).await?;
        Ok(world)
    }

    /// Looks at all jobs of all stacks a last time, for what appeared after its test had looked.
    pub async fn last_look(&self) -> Result<()> {
        let left = self.belongings().await?;
        ensure!(left.is_empty(), "this is left in the end: {left:#?}");
        Ok(())
    }

    /// Stops the cloud.
    pub async fn stop(self) -> Result<()> {
        self.cloud.stop().await
    }

    /// The cloud itself, for what is no question about a job.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The ffmpeg of the container's image.
    pub fn ffmpeg(&self) -> PathBuf {
        self.cloud.folder().join("image/bin/ffmpeg")
    }

    /// A folder for what a test keeps on the disk.
    pub fn folder(&self) -> &Path {
        self.cloud.folder()
    }

    /// Starts a job.
    pub async fn start_job(&self, job: &str, document: &Value) -> Result<String> {
        Ok(self.try_start(&machine("run-job"), job, document).await?)
    }

    /// Starts an execution, and gives the error in Step Functions' own terms.
    pub async fn try_start(
        &self,
        machine: &str,
        name: &str,
        input: &Value,
    ) -> Result<String, StartExecutionError> {
        let start =
            self.states.start_execution().state_machine_arn(machine).name(name).input(input.to_string());
        Ok(start.send().await.map_err(aws_sdk_sfn::error::SdkError::into_service_error)?.execution_arn)
    }

    /// Starts a job and waits for its end.
    pub async fn run_job(&self, job: &str, document: &Value) -> Result<DescribeExecutionOutput> {
        self.ended(&self.start_job(job, document).await?).await
    }

    /// Stops an execution as a person does.
    pub async fn stop_execution(&self, arn: &str) -> Result<()> {
        self.states.stop_execution().execution_arn(arn).send().await?;
        Ok(())
    }

    /// Waits until the execution has ended, with new patience as long as something happens in it.
    pub async fn ended(&self, arn: &str) -> Result<DescribeExecutionOutput> {
        let mut events = 0;
        loop {
            let ended = until(&format!("the end of {arn}"), || async {
                let execution = self.states.describe_execution().execution_arn(arn).send().await?;
                Ok(Some(execution).filter(|execution| *execution.status() != ExecutionStatus::Running))
            })
            .await;
            if ended.is_ok() {
                return ended;
            }
            let so_far = self.history(arn).await?.len();
            if std::mem::replace(&mut events, so_far) == so_far {
                return ended;
            }
        }
    }

    /// Waits until the execution has entered `state`; false where it has ended.
    pub async fn entered(&self, arn: &str, state: &str) -> Result<bool> {
        until_at_pace(GLANCE, &format!("{arn} to enter {state}"), || async {
            let events = match self.history(arn).await {
                Ok(events) => events,
                // A nested execution that has not been started.
                Err(error) if format!("{error:?}").contains("ExecutionDoesNotExist") => return Ok(None),
                Err(error) => return Err(error),
            };
            let entered = states_entered(&events).any(|name| name == state);
            let ended = events.last().is_some_and(|event| {
                let kind = event.r#type().as_str();
                kind.starts_with("Execution") && kind != "ExecutionStarted"
            });
            Ok((entered || ended).then_some(entered && !ended))
        })
        .await
    }

    /// All events of an execution, without the data.
    pub async fn history(&self, arn: &str) -> Result<Vec<HistoryEvent>> {
        let pages = self.states.get_execution_history().execution_arn(arn).include_execution_data(false);
        Ok(pages.into_paginator().items().send().collect::<Result<_, _>>().await?)
    }

    /// Makes sure that nothing in the account carries the job's tag.
    pub async fn nothing_left(&self, job: &str) -> Result<()> {
        let mut left = self.belongings().await?;
        left.retain(|belonging| belonging.is_of(job));
        ensure!(left.is_empty(), "this is left of {job}: {left:#?}");
        Ok(())
    }

    /// What all jobs of all stacks have.
    pub async fn belongings(&self) -> Result<Vec<Belonging>> {
        until("a look at what jobs have", || async {
            // Jobs come and go meanwhile: what was listed may be gone when its tags are asked for.
            Ok(self.cloud.belongings().await.ok())
        })
        .await
    }

    /// The stand-ins' calls that name something of the job.
    pub fn calls(&self, job: &str) -> Vec<Call> {
        let (family, execution) = (Names::new(STACK, job).family(), format!("-run-job:{job}"));
        let mut calls = self.cloud.calls().snapshot();
        calls.retain(|call| {
            // EC2's name the job itself, among other words.
            call.resource.contains(&family)
                || call.resource.ends_with(&execution)
                || call.resource.split(' ').any(|word| word == job)
        });
        calls
    }

    /// The job's item in the table of jobs.
    pub async fn record(&self, job: &str) -> Result<HashMap<String, String>> {
        let item = self.item(STACK, job).await?.with_context(|| format!("the table knows no job {job}"))?;
        Ok(item.into_iter().filter_map(|(name, value)| Some((name, value.as_s().ok()?.clone()))).collect())
    }

    /// What a stack's table has of a job.
    pub async fn item(&self, stack: &str, job: &str) -> Result<Option<Item>> {
        let get = self.dynamodb.get_item().table_name(self.jobs_table(stack).await?);
        let get = get.key(record::JOB, AttributeValue::S(job.to_owned()));
        Ok(get.consistent_read(true).send().await?.item)
    }

    /// The name of a stack's table of jobs.
    pub async fn jobs_table(&self, stack: &str) -> Result<String> {
        let mut settings = self.settings_of(stack, "conclude-job").await?;
        settings.remove("JOBS_TABLE").context("conclude-job knows the table")
    }

    /// The ARN of the stack's cluster.
    pub async fn cluster(&self) -> Result<String> {
        self.settings("plan-job").await?.remove("CLUSTER_ARN").context("plan-job knows the cluster")
    }

    /// The Availability Zone of private jobs' NAT gateways.
    pub async fn zone(&self) -> Result<String> {
        let zones = self.settings("plan-job").await?.remove("AVAILABILITY_ZONES");
        let zones = zones.context("plan-job knows the zones")?;
        Ok(zones.split(',').next().unwrap_or_default().to_owned())
    }

    /// A function's environment.
    pub async fn settings(&self, function: &str) -> Result<HashMap<String, String>> {
        self.settings_of(STACK, function).await
    }

    /// The same of any stack.
    pub async fn settings_of(&self, stack: &str, function: &str) -> Result<HashMap<String, String>> {
        let name = self.function_of(stack, function).await?;
        let configuration = self.lambda.get_function_configuration().function_name(name).send().await?;
        configuration.environment.and_then(|e| e.variables).context("the function has no environment")
    }

    /// The name of the function that comes from this folder of functions/.
    pub async fn function(&self, folder: &str) -> Result<String> {
        self.function_of(STACK, folder).await
    }

    /// The same of any stack.
    pub async fn function_of(&self, stack: &str, folder: &str) -> Result<String> {
        let words = folder.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
        let logical = format!("{}Function", words.collect::<String>());
        self.cloud.physical_id(stack, &logical).await
    }

    /// What the function called `name` answers, or what it fails with.
    pub async fn invoke(&self, name: &str, payload: impl ToString) -> Result<Result<Value, Value>> {
        let payload = Blob::new(payload.to_string());
        let invoked = self.lambda.invoke().function_name(name).payload(payload).send().await?;
        let answer = invoked.payload.context("a function answers")?;
        let answer = serde_json::from_slice(answer.as_ref())?;
        Ok(if invoked.function_error.is_none() { Ok(answer) } else { Err(answer) })
    }

    /// What a log group has in the streams whose names begin like this.
    pub async fn log(&self, group: &str, streams: &str) -> Result<Vec<String>> {
        self.log_of(STACK, group, streams).await
    }

    /// The same of any stack.
    pub async fn log_of(&self, stack: &str, group: &str, streams: &str) -> Result<Vec<String>> {
        let group = format!("/mayfly/{stack}/{group}");
        let named = self.logs.describe_log_streams().log_group_name(&group);
        let named = named.set_log_stream_name_prefix(Some(streams.to_owned()).filter(|s| !s.is_empty()));
        let names = named.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await?;
        let mut lines = Vec::new();
        for name in names.into_iter().filter_map(|stream| stream.log_stream_name) {
            let events = self.logs.get_log_events().log_group_name(&group).log_stream_name(name);
            let events = events.start_from_head(true).send().await?.events.unwrap_or_default();
            lines.extend(events.into_iter().filter_map(|event| event.message));
        }
        Ok(lines)
    }

    /// The log of the job's container.
    pub async fn container_log(&self, job: &str) -> Result<Vec<String>> {
        self.log("jobs", &format!("{}/", Names::new(STACK, job).base())).await
    }

    /// Puts an object into the data bucket.
    pub async fn put(&self, key: &str, body: ByteStream) -> Result<()> {
        self.s3.put_object().bucket(DATA_BUCKET).key(key).body(body).send().await?;
        Ok(())
    }

    /// Gets an object from the data bucket.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>> {
        let object = self.s3.get_object().bucket(DATA_BUCKET).key(key).send().await;
        let object = object.with_context(|| format!("s3://{DATA_BUCKET}/{key}"))?;
        Ok(object.body.collect().await?.to_vec())
    }

    /// A program of the tools or of the repository, in the repository, with what `make cloud` tells a person to export.
    pub fn command(&self, program: &str) -> Command {
        let Options { tools, programs, .. } = self.cloud.options();
        let path =
            [tools, programs].map(|folder| folder.join(program)).into_iter().find(|path| path.is_file());
        let mut command = Command::new(path.unwrap_or_else(|| program.into()));
        command.current_dir(repository()).env_clear().envs(self.cloud.environment()).kill_on_drop(true);
        // Neither a person's settings nor a pager.
        command.env("HOME", self.folder()).env("AWS_PAGER", "").env("MAYFLY_STACK", STACK);
        command.env("PATH", std::env::var_os("PATH").as_deref().unwrap_or(OsStr::new("/usr/bin:/bin")));
        command
    }

    /// The executions of a machine, the newest first.
    pub async fn executions(&self, machine: &str) -> Result<Vec<(String, ExecutionStatus)>> {
        let pages = self.states.list_executions().state_machine_arn(machine).into_paginator();
        let list = pages.items().send().collect::<Result<Vec<_>, _>>().await?;
        Ok(list.into_iter().map(|execution| (execution.execution_arn, execution.status)).collect())
    }
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A file of events/, with what it refers to in its place.
pub fn sample(file: &str) -> Result<Value> {
    let path = repository().join("events").join(file);
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let mut sample = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    resolve(&mut sample)?;
    Ok(sample)
}

/// Puts what `{ "$ref": "FILE#/POINTER" }`, a JSON Reference, stands for into its place.
fn resolve(value: &mut Value) -> Result<()> {
    if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let found = sample(file)?.pointer_mut(pointer).map(Value::take);
        *value = found.with_context(|| format!("nothing is at {reference}"))?;
    }
    match value {
        Value::Object(members) => members.values_mut().try_for_each(resolve),
        Value::Array(items) => items.iter_mut().try_for_each(resolve),
        _ => Ok(()),
    }
}

/// The ARN of one of the stack's machines.
pub fn machine(name: &str) -> String {
    machine_of(STACK, name)
}

/// The same of any stack.
pub fn machine_of(stack: &str, name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{stack}-{name}")
}

/// The ARN of the execution that is the job.
pub fn job_arn(job: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{STACK}-run-job:{job}")
}

/// The ARN of the teardown that the job's own execution calls.
pub fn nested_arn(job: &str) -> String {
    let name = Names::new(STACK, &job_id(job)).teardown();
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{STACK}-tear-down:{name}")
}

/// The name at the end of an ARN.
pub fn name_in(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

/// The document that the execution has ended with.
pub fn outcome(execution: &DescribeExecutionOutput) -> Result<Outcome> {
    let text =
        execution.output().or(execution.cause()).context("the execution has neither output nor cause")?;
    serde_json::from_str(text).with_context(|| format!("this is no outcome: {text}"))
}

/// Looks again and again until there is something to see.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    until_at_pace(LOOK_AGAIN, what, look).await
}

async fn until_at_pace<T>(
    pause: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "waited {} s in vain for {what}", PATIENCE.as_secs());
        sleep(pause).await;
    }
}

fn folder(variable: &str) -> Result<PathBuf> {
    let folder = std::env::var_os(variable).with_context(|| {
        format!("{variable} is not set; `make test` prepares what the tests need and sets it")
    })?;
    Ok(std::path::absolute(folder)?)
}
