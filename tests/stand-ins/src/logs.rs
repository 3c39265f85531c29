//! CloudWatch Logs, for the calls that are made: containers' output is written by the awslogs driver, and its end is read.
//! Source: its API Reference, by the name of each call.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::policy::Context;
use local_aws::server::Service;
use local_aws::upstream::Upstream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json::{Asked, Refused, Surroundings, answer, check_range};

/// How many events a batch and a page have, and how many bytes.
/// Source: API Reference, `PutLogEvents` and `GetLogEvents`.
const EVENTS: RangeInclusive<usize> = 1..=10_000;
const MOST_BYTES: usize = 1_048_576;
/// What each event counts beside its message, in bytes. Source: `PutLogEvents`.
const EVENT_BYTES: usize = 26;
/// How far from now events may be, and how far from each other those of a batch. Source: `PutLogEvents`.
const FUTURE: Duration = Duration::from_hours(2);
const PAST: Duration = Duration::from_hours(14 * 24);
const SPAN_MILLISECONDS: i64 = 24 * 60 * 60 * 1_000;
/// Source: `CreateLogStream`.
const STREAM_NAME: RangeInclusive<usize> = 1..=512;
/// How many milliseconds an event may be there before it is read: a guess, since no page gives a bound.
const SEEN_WITHIN: i64 = 3_000;

const INVALID: &str = "InvalidParameterException";

/// The logs of one account. Clones share one state.
#[derive(Clone, Debug)]
pub struct CloudWatchLogs {
    around: Surroundings,
    groups: Arc<Mutex<BTreeMap<String, Streams>>>,
}

/// The events of each stream of a group, in their order of time.
type Streams = BTreeMap<String, Vec<Event>>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(flatten)]
    given: InputLogEvent,
    ingestion_time: i64,
    /// When it is first read, in milliseconds like the others.
    #[serde(skip)]
    seen: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateLogStream {
    log_group_name: String,
    log_stream_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "they have the names of the wire")]
struct PutLogEvents {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputLogEvent>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InputLogEvent {
    timestamp: i64,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GetLogEvents {
    log_group_name: String,
    log_stream_name: String,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
}

impl CloudWatchLogs {
    /// One without groups.
    pub fn new(around: Surroundings) -> Self {
        Self { around, groups: Arc::default() }
    }

    /// Makes the log group `name`, where there is none yet.
    pub fn make_group(&self, name: &str) {
        self.groups().entry(name.to_owned()).or_default();
    }

    /// Every line of every stream.
    pub fn lines(&self) -> Vec<String> {
        let groups = self.groups();
        let events = groups.values().flat_map(BTreeMap::values).flatten();
        events.map(|event| event.given.message.clone()).collect()
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Streams>> {
        self.groups.lock().expect("no thread panics while it holds the groups")
    }

    /// What all three calls are about is the stream: Service Authorization Reference, "Actions, resources, and condition
    /// keys for Amazon CloudWatch Logs"; for `CreateLogStream` as the refusals name it that others have met.
    fn arn(&self, body: &Value) -> String {
        let Upstream { region, account, .. } = &self.around.upstream;
        let name = |name: &str| body[name].as_str().unwrap_or_default();
        let (group, stream) = (name("logGroupName"), name("logStreamName"));
        format!("arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{stream}")
    }

    async fn perform(&self, asked: Asked) -> Result<Value, Refused> {
        asked.may(&Context::new()).await?;
        match asked.action.as_str() {
            "CreateLogStream" => self.create(asked.parameters()?),
            "PutLogEvents" => self.put(asked.parameters()?),
            "GetLogEvents" => self.get(&asked.parameters()?),
            _ => Err(asked.unknown()),
        }
    }

    fn create(&self, call: CreateLogStream) -> Result<Value, Refused> {
        let stream = call.log_stream_name;
        check_range(INVALID, "logStreamName", stream.chars().count(), &STREAM_NAME)?;
        if stream.contains([':', '*']) {
            return Err(Refused::new(INVALID, "the name of a log stream has neither : nor *"));
        }
        let mut groups = self.groups();
        let streams = groups.get_mut(&call.log_group_name).ok_or_else(|| missing("group"))?;
        if streams.contains_key(&stream) {
            let message = "The specified log stream already exists";
            return Err(Refused::new("ResourceAlreadyExistsException", message));
        }
        streams.insert(stream, Vec::new());
        Ok(json!({}))
    }

    fn put(&self, call: PutLogEvents) -> Result<Value, Refused> {
        let given = call.log_events;
        check_range(INVALID, "logEvents", given.len(), &EVENTS)?;
        if given.iter().any(|event| event.message.is_empty()) {
            return Err(Refused::new(INVALID, "Log event message must not be empty"));
        }
        if given.iter().map(|event| event.message.len() + EVENT_BYTES).sum::<usize>() > MOST_BYTES {
            return Err(Refused::new(
                INVALID,
                format!("Upload too large, exceeds limit of {MOST_BYTES} bytes"),
            ));
        }
        if !given.is_sorted_by_key(|event| event.timestamp) {
            let message = "Log events in a single PutLogEvents request must be in chronological order.";
            return Err(Refused::new(INVALID, message));
        }
        let now = self.around.upstream.clock.now();
        let (oldest, newest) = ((now - PAST).as_millisecond(), (now + FUTURE).as_millisecond());
        let too_old = given.partition_point(|event| event.timestamp < oldest);
        let too_new = given.partition_point(|event| event.timestamp <= newest);
        let valid = &given[too_old..too_new];
        if let [first, .., last] = valid
            && last.timestamp - first.timestamp > SPAN_MILLISECONDS
        {
            let message =
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
            return Err(Refused::new(INVALID, message));
        }
        let ingestion_time = now.as_millisecond();
        let seen = ingestion_time + self.around.upstream.random.range(0..=SEEN_WITHIN);
        let mut groups = self.groups();
        let streams = groups.get_mut(&call.log_group_name).ok_or_else(|| missing("group"))?;
        let events = streams.get_mut(&call.log_stream_name).ok_or_else(|| missing("stream"))?;
        events.extend(valid.iter().cloned().map(|event| Event { given: event, ingestion_time, seen }));
        events.sort_by_key(|event| event.given.timestamp);
        let mut answer = json!({});
        if too_old > 0 {
            answer["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"] = too_old.into();
        }
        if too_new < given.len() {
            answer["rejectedLogEventsInfo"]["tooNewLogEventStartIndex"] = too_new.into();
        }
        Ok(answer)
    }

    /// The page at the end of a stream, its events in the order of time.
    fn get(&self, call: &GetLogEvents) -> Result<Value, Refused> {
        if call.start_from_head {
            return Err(Refused::new(INVALID, "the beginning of a stream is not played"));
        }
        let limit = call.limit.unwrap_or(*EVENTS.end());
        check_range(INVALID, "limit", limit, &EVENTS)?;
        let now = self.around.upstream.clock.now().as_millisecond();
        let groups = self.groups();
        let streams = groups.get(&call.log_group_name).ok_or_else(|| missing("group"))?;
        let events = streams.get(&call.log_stream_name).ok_or_else(|| missing("stream"))?;
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.given.message.len() + EVENT_BYTES;
            bytes <= MOST_BYTES
        };
        let newest = events.iter().rev().filter(|event| event.seen <= now);
        let mut page: Vec<_> = newest.take(limit).take_while(fits).collect();
        page.reverse();
        Ok(json!({ "events": page, "nextForwardToken": "f/0/s", "nextBackwardToken": "b/0/s" }))
    }
}

#[async_trait]
impl Service for CloudWatchLogs {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let stream = |_: &str, body: &Value| self.arn(body);
        answer(&self.around, "logs", request, stream, |asked| self.perform(asked)).await
    }
}

fn missing(what: &str) -> Refused {
    Refused::new("ResourceNotFoundException", format!("The specified log {what} does not exist."))
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatchlogs::Client;
    use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;
    use aws_sdk_cloudwatchlogs::types::InputLogEvent;

    use super::*;
    use crate::bench::Bench;

    const GROUP: &str = "/mayfly/s/jobs";

    fn logs(bench: &Bench) -> CloudWatchLogs {
        let logs = CloudWatchLogs::new(bench.around.clone());
        logs.make_group(GROUP);
        logs
    }

    /// The rights of the template's roles.
    fn rights() -> Value {
        let group = format!("arn:aws:logs:eu-central-1:123456789012:log-group:{GROUP}");
        json!([
            { "Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
              "Resource": [group, format!("{group}:*")] },
            { "Effect": "Allow", "Action": "logs:GetLogEvents", "Resource": format!("{group}*") }
        ])
    }

    fn event(timestamp: i64, message: &str) -> InputLogEvent {
        InputLogEvent::builder().timestamp(timestamp).message(message).build().expect("an event")
    }

    async fn create(client: &Client, group: &str, stream: &str) -> Result<(), String> {
        let sent = client.create_log_stream().log_group_name(group).log_stream_name(stream).send().await;
        sent.map(|_| ()).map_err(|error| error.code().unwrap_or_default().to_owned())
    }

    async fn put(client: &Client, events: Vec<InputLogEvent>) -> Result<Option<[Option<i32>; 2]>, String> {
        let put = client.put_log_events().log_group_name(GROUP).log_stream_name("a/b/c");
        let put = put.set_log_events(Some(events)).send().await;
        let put = put.map_err(|error| error.message().unwrap_or_default().to_owned())?;
        Ok(put
            .rejected_log_events_info
            .map(|info| [info.too_old_log_event_end_index, info.too_new_log_event_start_index]))
    }

    async fn get(client: &Client, limit: i32) -> Vec<String> {
        let get = client.get_log_events().log_group_name(GROUP).log_stream_name("a/b/c");
        let got = get.limit(limit).start_from_head(false).send().await.expect("events");
        got.events().iter().filter_map(|event| event.message.clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_is_read_a_little_later_from_its_end() {
        let bench = Bench::new(&rights());
        let logs = logs(&bench);
        let client = Client::new(&bench.role(logs));
        assert_eq!(create(&client, GROUP, "a/b/c").await, Ok(()));
        let now = bench.around.upstream.clock.now().as_millisecond();
        assert_eq!(put(&client, vec![event(now, "one"), event(now, "two")]).await, Ok(None));
        assert_eq!(put(&client, vec![event(now + 1, "three")]).await, Ok(None));
        bench.around.upstream.clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(get(&client, 2).await, ["two", "three"]);
        let stream = "arn:aws:logs:eu-central-1:123456789012:log-group:/mayfly/s/jobs:log-stream:a/b/c";
        assert_eq!(bench.calls()[3], ["logs:GetLogEvents", stream, "OK"].map(str::to_owned));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_or_there_already_or_not_allowed_is_refused() {
        let bench = Bench::new(&rights());
        let logs = logs(&bench);
        let role = Client::new(&bench.role(logs.clone()));
        let root = Client::new(&bench.root(logs));
        let refused = |code: &str| Err(code.to_owned());
        assert_eq!(create(&root, "gone", "a").await, refused("ResourceNotFoundException"));
        assert_eq!(create(&role, "gone", "a").await, refused("AccessDeniedException"));
        assert_eq!(create(&role, GROUP, "a:b").await, refused(INVALID));
        assert_eq!(create(&role, GROUP, "a").await, Ok(()));
        assert_eq!(create(&role, GROUP, "a").await, refused("ResourceAlreadyExistsException"));
        let now = bench.around.upstream.clock.now().as_millisecond();
        let refusal = put(&role, vec![event(now, "x")]).await.expect_err("no such stream");
        assert_eq!(refusal, "The specified log stream does not exist.");
        let get = role.get_log_events().log_group_name(GROUP).log_stream_name("b").send().await;
        let error = get.expect_err("no such stream");
        assert!(error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()));
        let error = root.describe_log_groups().send().await.expect_err("nobody asks for it");
        assert_eq!(error.code(), Some("UnknownOperationException"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_an_order_a_size_and_a_time() {
        const HOUR: i64 = 3_600_000;
        let bench = Bench::new(&rights());
        let client = Client::new(&bench.role(logs(&bench)));
        create(&client, GROUP, "a/b/c").await.expect("a stream");
        let now = bench.around.upstream.clock.now().as_millisecond();
        for (events, words) in [
            (vec![event(now, "b"), event(now - 1, "a")], "chronological"),
            (vec![event(now - 25 * HOUR, "a"), event(now, "b")], "24 hours"),
            (vec![event(now, &"x".repeat(MOST_BYTES - 25))], "too large"),
            (vec![event(now, "x"); 10_001], "less than or equal to 10000"),
            (vec![event(now, "")], "empty"),
        ] {
            let refusal = put(&client, events).await.expect_err(words);
            assert!(refusal.contains(words), "{refusal}");
        }
        let days = 24 * HOUR;
        let events = vec![event(now - 15 * days, "old"), event(now, "now"), event(now + 3 * HOUR, "new")];
        assert_eq!(put(&client, events).await, Ok(Some([Some(1), Some(2)])));
        bench.around.upstream.clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(get(&client, 9).await, ["now"]);
    }
}
