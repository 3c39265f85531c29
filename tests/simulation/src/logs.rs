//! CloudWatch Logs, for the calls that are made. Source: its API Reference, by the name of each call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response};
use local_aws::policy::Context;
use local_aws::server::Service;
use serde_json::{Value, json};

use crate::json::{Asked, Refused, Surroundings, answer};

/// The streams of each group, and the lines of each: when, and what.
type Groups = BTreeMap<String, BTreeMap<String, Vec<(i64, String)>>>;

/// The logs of the account. Clones share one state.
#[derive(Clone, Debug)]
pub struct CloudWatchLogs {
    around: Surroundings,
    groups: Arc<Mutex<Groups>>,
}

impl CloudWatchLogs {
    /// Without groups.
    pub fn new(around: Surroundings) -> Self {
        Self { around, groups: Arc::default() }
    }

    /// Makes a group.
    pub fn make_group(&self, name: &str) {
        self.lock().entry(name.to_owned()).or_default();
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().expect("no thread panics while it holds the groups")
    }

    async fn perform(&self, asked: Asked) -> Result<Value, Refused> {
        let text = |name: &str| asked.body[name].as_str().unwrap_or_default();
        let (group, stream) = (text("logGroupName"), text("logStreamName"));
        let (region, account) = (&self.around.upstream.region, &self.around.upstream.account);
        let arn = format!("arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{stream}");
        asked.may(&arn, &Context::new()).await?;
        let mut groups = self.lock();
        let missing = |what: &str| {
            Refused::new("ResourceNotFoundException", format!("The specified log {what} does not exist."))
        };
        let streams = groups.get_mut(group).ok_or_else(|| missing("group"))?;
        match asked.action.as_str() {
            "CreateLogStream" if streams.contains_key(stream) => {
                Err(Refused::new("ResourceAlreadyExistsException", "The specified log stream already exists"))
            }
            "CreateLogStream" => {
                streams.insert(stream.to_owned(), Vec::new());
                Ok(json!({}))
            }
            "PutLogEvents" => {
                let lines = streams.get_mut(stream).ok_or_else(|| missing("stream"))?;
                let events = asked.body["logEvents"].as_array().into_iter().flatten();
                let new = events.filter_map(|event| {
                    Some((event["timestamp"].as_i64()?, event["message"].as_str()?.to_owned()))
                });
                lines.extend(new);
                Ok(json!({}))
            }
            "GetLogEvents" => {
                let lines = streams.get(stream).ok_or_else(|| missing("stream"))?;
                let limit = asked.body["limit"].as_u64().and_then(|most| usize::try_from(most).ok());
                let kept = lines.len().saturating_sub(limit.unwrap_or(10_000));
                let events: Vec<_> = lines[kept..]
                    .iter()
                    .map(|(time, line)| json!({ "timestamp": time, "message": line, "ingestionTime": time }))
                    .collect();
                Ok(json!({ "events": events, "nextForwardToken": "f/0", "nextBackwardToken": "b/0" }))
            }
            action => Err(Refused::new("UnknownOperationException", action)),
        }
    }
}

impl Service for CloudWatchLogs {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let logs = self.clone();
        answer(&self.around, "logs", request, async move |asked| logs.perform(asked).await).await
    }
}
