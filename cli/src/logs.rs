//! `mayfly logs`: everything that a job's containers have written.

use std::time::Duration;

use anyhow::Result;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use jiff::{SignedDuration, Timestamp};
use mayfly_model::visible::settled;

use crate::container_log::{self, LogStream};
use crate::jobs;
use crate::out;
use crate::stack::Stack;

/// Between two looks. Each is one call for each container, of the 10 to 25 that AWS allows in a second.
const PAUSE: Duration = Duration::from_secs(2);
/// How long after a job's end its last lines may come: the awslogs driver and CloudWatch Logs take seconds.
const LATENESS: SignedDuration = SignedDuration::from_secs(5);

/// Prints the lines on standard output, with a line on standard error before each container's; with `follow` until the
/// job has ended and its last lines have come.
pub async fn logs(stack: &Stack, job: &str, follow: bool) -> Result<()> {
    let mut log = Log::default();
    let mut is_wait_told = false;
    loop {
        // First, so that what was written before the end is read after it.
        let ended = jobs::describe(stack, job).await?.ended;
        let has_news = log.print_news(stack, job).await?;
        let is_over =
            ended.is_some_and(|ended| !has_news && Timestamp::now().duration_since(ended) > LATENESS);
        if !follow || is_over {
            if log.is_empty() {
                out::tell(&no_log(job, ended.is_some()));
            }
            return Ok(());
        }
        if log.is_empty() && !is_wait_told {
            out::tell(&no_log(job, ended.is_some()));
            is_wait_told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn no_log(job: &str, has_ended: bool) -> String {
    if has_ended {
        return format!(
            "job {job} has no log: no container of it has written a line, or that was more than 3 days ago, when logs \
             are deleted"
        );
    }
    format!("job {job} has no log yet: its container has not started, or not written a line")
}

/// What has been printed.
#[derive(Default)]
struct Log {
    streams: Vec<LogStream>,
    /// The task whose lines came last.
    last: Option<String>,
}

impl Log {
    fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Prints what is new; returns whether anything was.
    async fn print_news(&mut self, stack: &Stack, job: &str) -> Result<bool> {
        for stream in container_log::streams(stack, job, None).await? {
            if !self.streams.iter().any(|known| known.is(&stream)) {
                self.streams.push(stream);
            }
        }
        let Self { streams, last } = self;
        let mut has_news = false;
        for stream in streams {
            let print = |task: &str, events: Vec<_>| {
                has_news |= !events.is_empty();
                if !events.is_empty() && last.as_deref() != Some(task) {
                    out::tell(&format!("==> task {task} <=="));
                    *last = Some(task.to_owned());
                }
                let lines = events.into_iter().filter_map(|event: OutputLogEvent| event.message);
                lines.into_iter().try_for_each(|line| out::print(&settled(&line)))?;
                Ok(())
            };
            stream.read_on(stack, print).await?;
        }
        Ok(has_news)
    }
}
