//! The end of a container's log, from CloudWatch Logs.

use anyhow::Result;
use mayfly_common::names::Names;

use crate::stack::{Stack, aws};

/// The lines that are shown.
const LINES: u16 = 40;

/// The last lines of `job`'s container: of the task called `task_arn`, or of all its tasks where none is known.
pub async fn last_lines(stack: &Stack, job: &str, task_arn: Option<&str>) -> Result<Vec<String>> {
    // The awslogs driver names a stream PREFIX/CONTAINER/TASK-ID.
    // Source: ECS developer guide, "Send Amazon ECS logs to CloudWatch", awslogs-stream-prefix.
    let task = task_arn.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
    let prefix = format!("{}/worker/{task}", Names::new(&stack.name, job).base());
    let streams = stack
        .logs
        .describe_log_streams()
        .log_group_name(&stack.log_group)
        .log_stream_name_prefix(prefix)
        .send()
        .await
        .map_err(aws("list the container's logs"))?;
    let mut events = Vec::new();
    for stream in streams.log_streams() {
        // From the end, unless told otherwise. Source: CloudWatch Logs API Reference, GetLogEvents, startFromHead.
        let page = stack
            .logs
            .get_log_events()
            .log_group_name(&stack.log_group)
            .set_log_stream_name(stream.log_stream_name.clone())
            .limit(LINES.into())
            .send()
            .await
            .map_err(aws("read the container's log"))?;
        events.extend(page.events.unwrap_or_default());
    }
    events.sort_by_key(|event| event.timestamp);
    let surplus = events.len().saturating_sub(LINES.into());
    Ok(events.into_iter().skip(surplus).filter_map(|event| event.message).collect())
}
