//! `PutEvents`, as clients of the SDK call it.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::events::event;
use local_aws::policy::Context;
use local_aws::server::Service;
use local_aws::upstream::Upstream;
use serde_json::{Value, json};

use crate::bus::Bus;
use crate::json::{Asked, Refused, answer, check_range};

#[async_trait]
impl Service for Bus {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let resource = |_: &str, body: &Value| self.arn(&body["Entries"][0]);
        answer(&self.config.around, "events", request, resource, |asked| self.perform(asked)).await
    }
}

impl Bus {
    /// The ARN of the bus that an entry is put on.
    fn arn(&self, entry: &Value) -> String {
        let Upstream { region, account, .. } = &self.config.around.upstream;
        let bus = entry["EventBusName"].as_str().unwrap_or("default");
        format!("arn:aws:events:{region}:{account}:event-bus/{bus}")
    }

    async fn perform(&self, asked: Asked) -> Result<Value, Refused> {
        if asked.action != "PutEvents" {
            return Err(asked.unknown());
        }
        let entries = asked.body["Entries"].as_array().cloned().unwrap_or_default();
        for entry in &entries {
            // Service Authorization Reference, "Condition keys for Amazon EventBridge".
            let key = |name: &str, field: &str| {
                entry[field].as_str().map(|value| (name.to_owned(), vec![value.to_owned()]))
            };
            let keys = [key("events:source", "Source"), key("events:detail-type", "DetailType")];
            let context: Context = keys.into_iter().flatten().collect();
            asked.may_also(&asked.action, &self.arn(entry), &context).await?;
        }
        self.put_entries(&entries)
    }

    /// Puts the entries of one `PutEvents` on the bus; gives its answer. API Reference, `PutEvents`.
    ///
    /// # Errors
    /// Where there are none or more than ten of them.
    pub fn put_entries(&self, entries: &[Value]) -> Result<Value, Refused> {
        check_range("ValidationException", "entries", entries.len(), &(1..=10))?;
        let answers: Vec<_> = entries.iter().map(|entry| self.put_entry(entry)).collect();
        let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
        Ok(json!({ "Entries": answers, "FailedEntryCount": failed }))
    }

    /// API Reference, `PutEventsResultEntry`, `ErrorCode`.
    fn put_entry(&self, entry: &Value) -> Value {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let failed = |code: &str, message: &str| json!({ "ErrorCode": code, "ErrorMessage": message });
        let missing = ["Source", "DetailType", "Detail"].into_iter().find(|name| text(name).is_empty());
        if let Some(missing) = missing {
            return failed(
                "InvalidArgument",
                &format!("Parameter {missing} is not valid. Reason: {missing} is a required argument."),
            );
        }
        if text("Source").starts_with("aws.") {
            return failed("NotAuthorizedForSourceException", "Not authorized for the source.");
        }
        let Ok(detail @ Value::Object(_)) = serde_json::from_str(text("Detail")) else {
            return failed("MalformedDetail", "Detail is malformed.");
        };
        let resources = entry["Resources"].as_array().into_iter().flatten();
        let resources: Vec<_> = resources.filter_map(|arn| arn.as_str().map(str::to_owned)).collect();
        let event =
            event(&self.config.around.upstream, text("Source"), text("DetailType"), &resources, &detail);
        let id = event["id"].clone();
        self.accept(&event);
        json!({ "EventId": id })
    }
}
