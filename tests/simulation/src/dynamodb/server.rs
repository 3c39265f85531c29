//! Requests in and answers out: AWS JSON 1.0, each call authenticated, authorized and logged.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use local_aws::policy::Context;
use local_aws::server::Service;
use serde_json::{Value, json};

use super::DynamoDb;
use super::error::{ApiError, Result};
use super::requests::Call;
use super::table::Now;
use super::value::Item;

/// What is known of a call for the log, however far it came.
struct Trace {
    action: String,
    caller: String,
    resource: String,
}

impl Service for DynamoDb {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let target = target.unwrap_or_default().to_owned();
        let action = target.rsplit('.').next().unwrap_or_default();
        let mut trace =
            Trace { action: format!("dynamodb:{action}"), caller: String::new(), resource: "*".into() };
        let answer = self.call(&request, &target, &mut trace).await;
        let outcome = answer.as_ref().map_or_else(|error| error.code, |_| "OK");
        self.calls.record(&trace.action, &trace.caller, &trace.resource, outcome);
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => (StatusCode::BAD_REQUEST, refused(&error)),
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amzn-requestid", self.upstream.random.uuid().to_string())
            .body(body.to_string().into())
            .expect("the headers are valid")
    }
}

impl DynamoDb {
    async fn call(&self, request: &Request<Bytes>, target: &str, trace: &mut Trace) -> Result<Value> {
        let caller = self.guard.authenticate("dynamodb", request).await?;
        trace.caller.clone_from(&caller.arn);
        let call = Call::parse(target, request.body())?;
        trace.resource = self.arn(call.table());
        self.guard.authorize(&caller, &trace.action, &trace.resource, &Context::new()).await?;
        self.perform(call)
    }

    fn perform(&self, call: Call) -> Result<Value> {
        let now = Now { time: self.upstream.clock.now(), random: &self.upstream.random };
        let mut tables = self.tables();
        let table = tables.get_mut(call.table()).ok_or_else(ApiError::no_table)?;
        Ok(match call {
            Call::Get(call) => named("Item", table.get(&call, now)?),
            Call::Put(call) => named("Attributes", table.put(call, now)?),
            Call::Update(call) => named("Attributes", table.update(call, now)?),
        })
    }
}

fn named(name: &str, item: Option<Item>) -> Value {
    item.map_or_else(|| json!({}), |item| json!({ name: item }))
}

fn refused(error: &ApiError) -> Value {
    let mut body = json!({ "__type": error.shape(), "message": error.message });
    if let Some(item) = &error.item {
        body["Item"] = json!(item);
    }
    body
}
