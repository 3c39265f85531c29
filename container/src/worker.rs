//! The worker's life: wait for an order, carry it out, report, wait again, until it is told to stop.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, bail};
use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use backon::ExponentialBuilder;
use mayfly_model::message::{Assignment, News, Order};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::assignment::{self, Tools};
use crate::descendants::Subreaper;
use crate::done::DoneQueue;
use crate::http::Http;
use crate::log::Log;
use crate::settings::Settings;
use crate::stop::{Stop, StopRequest};
use crate::trust::Trust;
use crate::urls::Pace;
use crate::user::{GROUPS, USERS, User};
use crate::{done, http, mailbox, queues};

/// The worker with all that it talks to.
pub struct Worker {
    job: String,
    orders: mpsc::Receiver<Order>,
    done: DoneQueue,
    tools: Tools,
    /// Cancelled when the container is told to stop.
    told_to_stop: CancellationToken,
    /// The latest start that was taken on. SQS may deliver an order twice, or after a later one.
    /// Source: SQS developer guide, "Standard queues", at-least-once delivery and best-effort ordering.
    latest_start: u32,
}

impl Worker {
    /// Finds out which task this is and opens the mailbox; what commands print goes to `log`. None where the container was told
    /// to stop first.
    ///
    /// # Errors
    /// Fails where the metadata endpoint stays silent.
    pub async fn start(settings: Settings, log: Log) -> anyhow::Result<Option<Self>> {
        let told_to_stop = stop_on_signals()?;
        let subreaper = Some(Subreaper::begin()?);
        let Settings {
            job,
            mut mailbox_url,
            mut done_queue_url,
            queue_endpoints,
            metadata_url,
            endpoint,
            s3_endpoint,
            cgroup,
            user,
            folder,
            directory,
            stop_timeout,
        } = settings;
        let read = |table: &str| fs::read_to_string(table).unwrap_or_default();
        let user = user.map(|user| User::find(&user, &read(USERS), &read(GROUPS))).transpose();
        let trust = Trust::beside_program();
        let http = Arc::new(Http::new(&trust, endpoint.iter().chain(&s3_endpoint))?);
        let tries = ExponentialBuilder::new().with_jitter().with_max_times(7);
        let task_arn = select! {
            task_arn = http::task_arn(&trust, &metadata_url, tries) => task_arn.context("the task's metadata could not be read")?,
            () = told_to_stop.cancelled() => return Ok(None),
        };
        // Without a limit a dead connection would hold up a heartbeat for ever; 20 s are a long poll's own.
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(mailbox::LONG_POLL + done::PATIENCE).build();
        let config = aws_config::defaults(BehaviorVersion::latest()).http_client(trust.sdk()?);
        let config = config.timeout_config(timeouts).load().await;
        let mut config = config.into_builder();
        config.set_endpoint_url(endpoint.map(String::from));
        let mut config = config.build();
        let answering = select! {
            biased;
            () = told_to_stop.cancelled() => return Ok(None),
            endpoint = queues::first_that_answers(&config, &queue_endpoints, &mailbox_url) => endpoint,
        };
        if let Some(endpoint) = answering {
            mailbox_url = queues::at(&mailbox_url, &endpoint);
            done_queue_url = queues::at(&done_queue_url, &endpoint);
            config = config.into_builder().endpoint_url(endpoint).build();
        }
        let sqs = aws_sdk_sqs::Client::new(&config);
        let orders = mailbox::open(sqs.clone(), mailbox_url, told_to_stop.clone());
        let runs_as = match &user {
            Ok(Some(user)) => user.to_string(),
            Ok(None) => "the worker's own user".to_owned(),
            Err(why) => why.clone(),
        };
        info!(task_arn, runs_as, "worker started");
        Ok(Some(Self {
            job,
            orders,
            done: DoneQueue::new(sqs, done_queue_url, task_arn),
            tools: Tools {
                http,
                pace: Pace::default(),
                cgroup,
                user,
                folder,
                directory,
                launcher: "/proc/self/exe".into(),
                stop_timeout,
                subreaper,
                log,
            },
            told_to_stop,
            latest_start: 0,
        }))
    }

    /// Carries out orders until the container is told to stop.
    pub async fn run(mut self) -> anyhow::Result<()> {
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
        info!("worker stopped");
        Ok(())
    }

    /// The next assignment; none where the container was told to stop first.
    async fn wait_for_order(&mut self) -> anyhow::Result<Option<Assignment>> {
        loop {
            let order = select! {
                // An order that is here already is answered, if only by the report that it was interrupted.
                biased;
                order = self.orders.recv() => order,
                () = self.told_to_stop.cancelled() => return Ok(None),
            };
            match order {
                Some(Order::Run(assignment)) if self.take_on(&assignment) => return Ok(Some(assignment)),
                Some(Order::Run(_)) => {}
                Some(Order::Urls(_) | Order::Page(_) | Order::Parts(_)) => info!("late urls ignored"),
                None => bail!("the mailbox closed"),
            }
        }
    }

    /// Carries out one assignment, reports how it ended, and only then begins to clean up. A newer one that supersedes it
    /// is returned.
    async fn carry_out(&mut self, assignment: Assignment) -> anyhow::Result<Option<Assignment>> {
        let turn = assignment.turn;
        let reporter = self.done.reporter(&assignment);
        let stop = StopRequest::default();
        let (urls, answers) = mpsc::unbounded_channel();
        info!(attempt = turn.attempt, start = turn.start, "assignment taken on");
        // On the heap, since it holds the state of everything that is done for the assignment.
        let work =
            assignment::carry_out(self.tools.clone(), assignment, reporter.clone(), answers, stop.signal());
        let mut work = Box::pin(work);
        let mut superseded_by = None;
        let (finished, folder) = loop {
            select! {
                // What is finished stays so, whatever comes at the same moment.
                biased;
                ended = &mut work => break ended,
                () = self.told_to_stop.cancelled(), if !stop.is_made() => stop.make(Stop::Interrupted),
                order = self.orders.recv() => match order {
                    Some(Order::Run(newer)) if self.take_on(&newer) => {
                        info!(attempt = newer.turn.attempt, start = newer.turn.start, "assignment superseded");
                        stop.make(Stop::Superseded);
                        superseded_by = Some(newer);
                    }
                    Some(Order::Run(_)) => {}
                    Some(answer) if answer.start() == turn.start => _ = urls.send(answer),
                    Some(_) => info!("urls of another start ignored"),
                    None => bail!("the mailbox closed"),
                },
            }
        };
        // Nobody waits for the failure of a start that another has taken over from; a success counts all the same.
        if superseded_by.is_none() || finished.failure.is_none() {
            if let Some(failure) = &finished.failure {
                warn!(attempt = turn.attempt, class = %failure.class, "assignment failed: {}", failure.message);
            } else {
                info!(attempt = turn.attempt, seconds = finished.seconds, "assignment completed");
            }
            reporter.insist(News::Finished(finished), &self.told_to_stop).await;
        }
        if let Some(folder) = folder {
            folder.remove();
        }
        Ok(superseded_by)
    }

    /// Whether `assignment` is this job's, and new.
    fn take_on(&mut self, assignment: &Assignment) -> bool {
        let start = assignment.turn.start;
        if assignment.job != self.job {
            // Of its content nothing can be trusted.
            warn!("order dropped: it is another job's");
            return false;
        }
        if start <= self.latest_start {
            info!(start, "stale order ignored");
            return false;
        }
        self.latest_start = start;
        true
    }
}

/// ECS stops a container by SIGTERM; SIGINT is a terminal's.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(token)
}
