//! What the functions share that read a container's log: its last lines, for a failure that no container reports.

use aws_sdk_cloudwatchlogs::Client;
use mayfly_lambda::Environment;
use mayfly_lambda::error::Error;
use mayfly_model::names::{Names, SERVICE_CONTAINER};

/// The most lines of a log that a failure shows.
const LINES: i32 = 50;
/// The most bytes of them; as much as of a command's output.
const BYTES: usize = 4096;

/// The stack's log of containers.
pub struct ContainerLog {
    logs: Client,
    group: String,
}

impl ContainerLog {
    /// The log group that the function's setting `LOG_GROUP` names.
    ///
    /// # Errors
    /// When the setting is absent.
    pub fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { logs: Client::new(environment.sdk()), group: environment.setting("LOG_GROUP")? })
    }

    /// The last lines of a service's container; none where it has written none.
    ///
    /// # Errors
    /// As [`Error::aws`].
    pub async fn last_lines(&self, names: &Names, task_arn: &str) -> Result<Option<String>, Error> {
        // Source: ECS developer guide, "Send Amazon ECS logs to CloudWatch", `awslogs-stream-prefix`.
        let task = task_arn.rsplit('/').next().unwrap_or_default();
        let stream = format!("{}/{SERVICE_CONTAINER}/{task}", names.base());
        let get = self.logs.get_log_events().log_group_name(&self.group).log_stream_name(stream);
        match get.limit(LINES).start_from_head(false).send().await {
            Ok(got) => Ok(last(got.events().iter().filter_map(|event| event.message()))),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(Error::aws("read the end of the container's log")(error)),
        }
    }
}

/// As many of the last lines, whole, as there is room for, and at least the end of the last one.
fn last<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let mut room = BYTES;
    for line in lines.rev() {
        let Some(left) = room.checked_sub(line.len() + 1) else {
            if kept.is_empty() {
                let start = (line.len() - BYTES..line.len())
                    .find(|at| line.is_char_boundary(*at))
                    .unwrap_or_default();
                kept.push(&line[start..]);
            }
            break;
        };
        room = left;
        kept.push(line);
    }
    kept.reverse();
    Some(kept.join("\n")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_whole_lines_or_the_end_of_one() {
        assert_eq!(last([].into_iter()), None);
        assert_eq!(last(["one", "two"].into_iter()).as_deref(), Some("one\ntwo"));
        let long = "x".repeat(BYTES - 4);
        assert_eq!(last([long.as_str(), "two"].into_iter()).as_deref(), Some("two"));
        let longer = "ä".repeat(BYTES);
        assert_eq!(last(["one", &longer].into_iter()), Some("ä".repeat(BYTES / 2)));
    }
}
