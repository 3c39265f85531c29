//! The logs of a job's containers, from CloudWatch Logs.
//!
//! Streams are read one by one: AWS allows GetLogEvents more often than FilterLogEvents in most Regions, and a forward
//! token leads on to what is written later.
//! Source: AWS General Reference, "Amazon CloudWatch Logs endpoints and quotas".

use anyhow::Result;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;
use mayfly_model::names::{Names, job_id};
use mayfly_model::visible::settled;

use crate::stack::{Stack, aws};

/// The lines of the end of a log.
const LINES: u16 = 40;

/// The log of one container.
pub struct LogStream {
    /// Its name.
    name: String,
    /// Where to go on reading.
    token: Option<String>,
}

impl LogStream {
    /// Whether they are of the same container.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// The id of the container's task.
    pub fn task(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// What has been written since the last time, in its order, to the end; `tell` gets it page by page.
    pub async fn read_on(
        &mut self,
        stack: &Stack,
        mut tell: impl FnMut(&str, Vec<OutputLogEvent>) -> Result<()>,
    ) -> Result<()> {
        loop {
            let page = stack
                .logs
                .get_log_events()
                .log_group_name(&stack.log_group)
                .log_stream_name(&self.name)
                .start_from_head(true)
                .set_next_token(self.token.clone())
                .send()
                .await
                .map_err(aws("read the container's log"))?;
            tell(self.task(), page.events.unwrap_or_default())?;
            // A page may be empty before the end; at the end the token stays the same.
            // Source: CloudWatch Logs API Reference, GetLogEvents, nextForwardToken.
            let is_end = page.next_forward_token.is_none() || page.next_forward_token == self.token;
            self.token = page.next_forward_token.or(self.token.take());
            if is_end {
                return Ok(());
            }
        }
    }
}

/// The logs of `job`'s containers, the first started first: of the task called `task_arn`, or of all tasks.
pub async fn streams(stack: &Stack, job: &str, task_arn: Option<&str>) -> Result<Vec<LogStream>> {
    // The awslogs driver names a stream PREFIX/CONTAINER/TASK-ID; work and services have containers of other names.
    // Source: ECS developer guide, "Send Amazon ECS logs to CloudWatch", awslogs-stream-prefix.
    let task = task_arn.and_then(|arn| arn.rsplit('/').next());
    let prefix = format!("{}/", Names::new(&stack.name, &job_id(job)).base());
    let listed = stack
        .logs
        .describe_log_streams()
        .log_group_name(&stack.log_group)
        .log_stream_name_prefix(prefix)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await;
    let mut streams = listed.map_err(aws("list the containers' logs"))?;
    streams.sort_by_key(|stream| stream.creation_time);
    let named = streams.into_iter().filter_map(|stream| stream.log_stream_name);
    let logs = named.map(|name| LogStream { name, token: None });
    Ok(logs.filter(|log| task.is_none_or(|task| log.task() == task)).collect())
}

/// The last lines, settled, of `job`'s container: of the task called `task_arn`, or of all its tasks where none is known.
pub async fn last_lines(stack: &Stack, job: &str, task_arn: Option<&str>) -> Result<Vec<String>> {
    let mut events = Vec::new();
    for stream in streams(stack, job, task_arn).await? {
        // From the end, unless told otherwise. Source: CloudWatch Logs API Reference, GetLogEvents, startFromHead.
        let page = stack
            .logs
            .get_log_events()
            .log_group_name(&stack.log_group)
            .log_stream_name(stream.name)
            .limit(LINES.into())
            .send()
            .await
            .map_err(aws("read the container's log"))?;
        events.extend(page.events.unwrap_or_default());
    }
    events.sort_by_key(|event| event.timestamp);
    let surplus = events.len().saturating_sub(LINES.into());
    Ok(events.into_iter().skip(surplus).filter_map(|event| event.message.as_deref().map(settled)).collect())
}
