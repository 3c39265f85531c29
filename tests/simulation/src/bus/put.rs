//! `PutEvents`, as clients of the SDK call it: JSON 1.1.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use local_aws::auth::Refusal;
use local_aws::events::event;
use local_aws::policy::Context;
use local_aws::server::Service;
use serde_json::{Value, json};

use crate::bus::Bus;

const ACTION: &str = "events:PutEvents";

/// Why a call is refused: its code and its message.
type Error = (&'static str, String);

impl Service for Bus {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (status, body) = match self.try_to_answer(&request).await {
            Ok(body) => (StatusCode::OK, body),
            Err((code, message)) => (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": message })),
        };
        Response::builder()
            .status(status)
            .header("content-type", "application/x-amz-json-1.1")
            .body(body.to_string().into())
            .expect("the header is valid")
    }
}

impl Bus {
    async fn try_to_answer(&self, request: &Request<Bytes>) -> Result<Value, Error> {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        if target != Some("AWSEvents.PutEvents") {
            return Err(("UnknownOperationException", format!("{target:?} is not played")));
        }
        let caller = self.config.guard.authenticate("events", request).await.map_err(refused)?;
        let body: Value = serde_json::from_slice(request.body())
            .map_err(|error| ("SerializationException", error.to_string()))?;
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        let upstream = &self.config.upstream;
        for entry in &entries {
            let bus = entry["EventBusName"].as_str().unwrap_or("default");
            let arn = format!("arn:aws:events:{}:{}:event-bus/{bus}", upstream.region, upstream.account);
            // Service Authorization Reference, "Condition keys for Amazon EventBridge".
            let key = |name: &str, field: &str| {
                entry[field].as_str().map(|value| (name.to_owned(), vec![value.to_owned()]))
            };
            let keys = [key("events:source", "Source"), key("events:detail-type", "DetailType")];
            let context: Context = keys.into_iter().flatten().collect();
            let allowed = self.config.guard.authorize(&caller, ACTION, &arn, &context).await;
            let outcome = allowed.as_ref().map_or("AccessDeniedException", |()| "OK");
            self.config.calls.record(ACTION, &caller.arn, &arn, outcome);
            allowed.map_err(refused)?;
        }
        self.put_entries(&entries)
    }

    /// Puts the entries of one `PutEvents` on the bus; gives its answer. API Reference, `PutEvents`.
    ///
    /// # Errors
    /// The code and the message, where there are none or more than ten of them.
    pub fn put_entries(&self, entries: &[Value]) -> Result<Value, Error> {
        if !(1..=10).contains(&entries.len()) {
            return Err(("ValidationException", "PutEvents takes 1 to 10 entries".to_owned()));
        }
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
        let event = event(&self.config.upstream, text("Source"), text("DetailType"), &resources, &detail);
        let id = event["id"].clone();
        self.accept(&event);
        json!({ "EventId": id })
    }
}

fn refused(refusal: Refusal) -> Error {
    (refusal.code.in_json(), refusal.message)
}
