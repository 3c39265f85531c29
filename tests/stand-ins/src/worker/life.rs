//! A worker's life: it finds out who it is, waits for an order, carries it out, reports, and waits again, until it is told to
//! stop.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryPartition;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_sdk_sqs::error::SdkError;
use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use mayfly_model::message::{Assignment, Order};
use serde_json::{Value, json};
use tokio::select;
use url::Url;

use crate::worker::body::Body;
use crate::worker::log::Log;
use crate::worker::mailbox::{ATTEMPT, Mailbox};
use crate::worker::reports::{Backoff, Reporter};
use crate::worker::truth::Truth;
use crate::worker::{Agent, Config, Stage};

/// How often a silent metadata endpoint is asked again.
const TRIES: usize = 7;

/// A worker that has only just been started.
pub(super) struct Beginning {
    pub config: Config,
    pub agent: Arc<OnceLock<Box<Agent>>>,
    pub truth: Truth,
    pub task: String,
    pub environment: BTreeMap<String, String>,
    pub log: Arc<Log>,
    pub body: Body,
}

/// A worker that takes orders.
pub(super) struct Worker {
    pub config: Config,
    pub body: Body,
    pub reporter: Reporter,
    pub mailbox: Mailbox,
    latest_start: u32,
}

impl Beginning {
    /// Lives to its end, which is an exit code, and the last of the output is delivered.
    pub async fn live(self) -> i32 {
        let log = self.log.clone();
        let lived = self.work().await;
        log.close().await;
        i32::from(lived.is_err())
    }

    /// Fails, where the worker would, for want of a variable or of an answer from the metadata endpoint.
    async fn work(self) -> Result<(), ()> {
        let variable = |name: &str| self.environment.get(name).cloned().ok_or(());
        let (job, mut mailbox, mut done) =
            (variable("MAYFLY_JOB")?, variable("MAYFLY_MAILBOX_URL")?, variable("MAYFLY_DONE_QUEUE_URL")?);
        let told_to_stop = self.body.told_to_stop.clone();
        let upstream = &self.config.upstream;
        upstream.clock.sleep(self.config.director.start_up(&self.task)).await;
        let task_arn = select! {
            biased;
            task_arn = self.task_arn() => task_arn.ok_or(())?,
            () = told_to_stop.cancelled() => return Ok(()),
        };
        // A container that does not reach SQS is given another origin than the cloud's: it goes on trying.
        let endpoint = self.environment.get("MAYFLY_ENDPOINT_URL").unwrap_or(&upstream.ministack);
        if *endpoint != upstream.ministack {
            told_to_stop.cancelled().await;
            return Ok(());
        }
        let answering = select! {
            biased;
            () = told_to_stop.cancelled() => return Ok(()),
            answering = self.answering(&mailbox) => answering,
        };
        let mut sqs = self.sqs(endpoint);
        if let Some(answering) = answering {
            (mailbox, done) = (at(&mailbox, &answering), at(&done, &answering));
            sqs = self.sqs(answering.as_str());
        }
        let tools = (upstream.clock, upstream.random.clone());
        let orders = Mailbox::open(sqs.clone(), mailbox, told_to_stop.clone(), tools, self.log.clone());
        self.log.info("worker started", json!({ "task_arn": task_arn }));
        let reporter = Reporter {
            sqs,
            url: done,
            task: self.task,
            task_arn,
            job,
            clock: upstream.clock,
            random: upstream.random.clone(),
            truth: self.truth,
            log: self.log,
        };
        Worker { config: self.config, body: self.body, reporter, mailbox: orders, latest_start: 0 }
            .run()
            .await
    }

    /// The first of SQS's names that answers, where the container is given some: in its own words, whatever they are.
    async fn answering(&self, mailbox: &str) -> Option<Url> {
        let names = self.environment.get("MAYFLY_QUEUE_ENDPOINTS")?;
        let names: Vec<_> = names.split(',').filter_map(|name| Url::parse(name).ok()).collect();
        let mut backoff = Backoff::new(self.config.upstream.clock, self.config.upstream.random.clone());
        while !names.is_empty() {
            for name in &names {
                let look = self.sqs(name.as_str()).receive_message().queue_url(at(mailbox, name));
                match look.visibility_timeout(0).send().await {
                    Ok(_) | Err(SdkError::ServiceError(_)) => return Some(name.clone()),
                    Err(_) => self.log.warn("SQS does not answer"),
                }
            }
            backoff.pause().await;
        }
        None
    }

    fn sqs(&self, endpoint: &str) -> Client {
        let upstream = &self.config.upstream;
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(upstream.region.clone()))
            .endpoint_url(endpoint)
            .http_client(upstream.http.clone())
            .time_source(upstream.clock)
            .credentials_provider(self.keys())
            // Else one container's throttling would use up the retries of all.
            .retry_partition(RetryPartition::new(self.task.clone()))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build());
        Client::from_conf(config.build())
    }

    fn keys(&self) -> Keys {
        let uri = self.environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").cloned();
        Keys { agent: self.agent.clone(), uri }
    }

    /// From the metadata endpoint.
    async fn task_arn(&self) -> Option<String> {
        let uri = format!("{}/task", self.environment.get("ECS_CONTAINER_METADATA_URI_V4")?);
        let mut backoff = Backoff::new(self.config.upstream.clock, self.config.upstream.random.clone());
        for _ in 0..TRIES {
            if let Some(metadata) = ask(&self.agent, &uri).await {
                return metadata["TaskARN"].as_str().map(str::to_owned);
            }
            backoff.pause().await;
        }
        ask(&self.agent, &uri).await?["TaskARN"].as_str().map(str::to_owned)
    }
}

/// The credentials of the task's role.
struct Keys {
    agent: Arc<OnceLock<Box<Agent>>>,
    uri: Option<String>,
}

impl Debug for Keys {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys")
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let uri =
                self.uri.as_deref().ok_or_else(|| CredentialsError::not_loaded("the task has no role"))?;
            let keys = ask(&self.agent, uri).await;
            keys.as_ref().and_then(credentials).ok_or_else(|| CredentialsError::not_loaded("no answer"))
        })
    }
}

fn credentials(keys: &Value) -> Option<Credentials> {
    let text = |name: &str| keys[name].as_str().map(str::to_owned);
    let expiry = keys["Expiration"].as_str()?.parse::<Timestamp>().ok().map(SystemTime::from);
    Some(Credentials::new(text("AccessKeyId")?, text("SecretAccessKey")?, text("Token"), expiry, "task"))
}

/// What the agent answers, where that is well.
async fn ask(agent: &OnceLock<Box<Agent>>, uri: &str) -> Option<Value> {
    let path = Url::parse(uri).ok()?.path().to_owned();
    let answer = agent.get()?(Request::get(path).body(Bytes::new()).ok()?).await;
    answer.status().is_success().then(|| serde_json::from_slice(answer.body()).ok())?
}

/// The queue's URL at another of SQS's names.
fn at(queue: &str, endpoint: &Url) -> String {
    let moved = Url::parse(queue).ok().and_then(|queue| endpoint.join(queue.path()).ok());
    moved.map_or_else(|| queue.to_owned(), Url::into)
}

impl Worker {
    /// Carries out orders until the container is told to stop.
    async fn run(mut self) -> Result<(), ()> {
        let mut next = None;
        loop {
            let assignment = match next {
                Some(assignment) => assignment,
                None => match self.wait_for_order().await? {
                    Some(assignment) => assignment,
                    None => break,
                },
            };
            next = self.carry_out(assignment).await?;
        }
        self.reporter.log.info("worker stopped", Value::Null);
        Ok(())
    }

    async fn wait_for_order(&mut self) -> Result<Option<Assignment>, ()> {
        loop {
            let order = select! {
                // What is here already is answered, if only by the report that it was interrupted.
                biased;
                order = self.mailbox.orders.recv() => order.ok_or(())?,
                () = self.body.told_to_stop.cancelled() => return Ok(None),
            };
            match order {
                Order::Run(assignment) if self.take_on(&assignment) => return Ok(Some(assignment)),
                Order::Run(_) => {}
                _ => self.reporter.log.info("late urls ignored", Value::Null),
            }
        }
    }

    /// Whether the assignment is this job's, and new.
    pub fn take_on(&mut self, assignment: &Assignment) -> bool {
        let start = assignment.turn.start;
        if assignment.job != self.reporter.job {
            self.reporter.log.warn("order dropped: it is another job's");
            return false;
        }
        if start <= self.latest_start {
            self.reporter.log.info("stale order ignored", json!({ "start": start }));
            return false;
        }
        self.latest_start = start;
        true
    }
}

impl Stage {
    /// A worker in the container of a launch.
    pub(super) fn beginning(&self, launch: local_ecs::Launch, body: Body) -> Beginning {
        let job = launch.environment.get("MAYFLY_JOB").cloned().unwrap_or_default();
        Beginning {
            config: self.config.clone(),
            agent: self.agent.clone(),
            truth: self.truth.clone(),
            task: launch.task,
            log: Arc::new(Log::new(job, self.config.upstream.clock, launch.logs)),
            environment: launch.environment,
            body,
        }
    }
}
