//! What the services have in common that speak AWS's JSON: who is asking for what, and how that is answered.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use local_aws::auth::{Caller, Guard, Refusal};
use local_aws::calls::CallLog;
use local_aws::policy::Context;
use local_aws::upstream::Upstream;
use serde_json::{Value, json};

use crate::router;

/// What each service works with.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The account.
    pub upstream: Upstream,
    /// Who is calling, and what the caller may do.
    pub guard: Guard,
    /// Where each answered call is noted.
    pub calls: CallLog,
}

/// A call whose caller is known.
#[derive(Debug)]
pub struct Asked {
    /// Such as `GetItem`.
    pub action: String,
    /// Its parameters.
    pub body: Value,
    /// Who asks.
    pub caller: Caller,
    service: &'static str,
    guard: Guard,
}

impl Asked {
    /// Whether the caller may do this on `resource`, an ARN or `*`.
    ///
    /// # Errors
    /// Where IAM does not allow it.
    pub async fn may(&self, resource: &str, context: &Context) -> Result<(), Refused> {
        self.may_also(&self.action, resource, context).await
    }

    /// The same of another action, which this one takes too.
    ///
    /// # Errors
    /// Where IAM does not allow it.
    pub async fn may_also(&self, action: &str, resource: &str, context: &Context) -> Result<(), Refused> {
        let action = format!("{}:{action}", self.service);
        self.guard.authorize(&self.caller, &action, resource, context).await.map_err(Refused::from)
    }
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Such as `ValidationException`.
    pub code: String,
    /// The code that SDKs read of a service which once spoke AWS's query protocol.
    pub query_code: Option<&'static str>,
    /// For a person.
    pub message: String,
}

impl Refused {
    /// With this code and message.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), query_code: None, message: message.into() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code.in_json(), refusal.message)
    }
}

/// Authenticates `request`, has `perform` do what it asks for, and notes it.
pub async fn answer<F>(
    around: &Surroundings,
    service: &'static str,
    request: Request<Bytes>,
    perform: impl FnOnce(Asked) -> F,
) -> Response<Bytes>
where
    F: Future<Output = Result<Value, Refused>>,
{
    let action = router::action(&request);
    let (caller, result) = match around.guard.authenticate(service, &request).await {
        Ok(caller) => {
            let body = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
            let guard = around.guard.clone();
            let arn = caller.arn.clone();
            (arn, perform(Asked { action: action.clone(), body, caller, service, guard }).await)
        }
        Err(refusal) => (String::new(), Err(refusal.into())),
    };
    let outcome = result.as_ref().map_or_else(|refused| refused.code.as_str(), |_| "OK");
    around.calls.record(&format!("{service}:{action}"), &caller, "*", outcome);
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
        .header("x-amzn-requestid", around.upstream.random.uuid().to_string());
    let response = match result {
        Ok(body) => response.body(Bytes::from(body.to_string())),
        Err(Refused { code, query_code, message }) => {
            let response = response.status(StatusCode::BAD_REQUEST).header("x-amzn-errortype", &code);
            let response = match query_code {
                Some(query) => response.header("x-amzn-query-error", format!("{query};Sender")),
                None => response,
            };
            response.body(Bytes::from(json!({ "__type": code, "message": message }).to_string()))
        }
    };
    response.expect("the parts are well formed")
}
