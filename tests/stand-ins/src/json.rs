//! What the services have in common that speak AWS's JSON: who is asking for what, and how that is answered.
//! Source: Smithy, "AWS JSON 1.0 protocol" and "AWS JSON 1.1 protocol".

use std::fmt::Display;
use std::future::Future;
use std::ops::RangeInclusive;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use local_aws::auth::{Caller, Guard, Refusal};
use local_aws::calls::CallLog;
use local_aws::policy::Context;
use local_aws::upstream::Upstream;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::request;

/// The one service that once spoke AWS's query protocol, of whose codes SDKs still read its errors.
/// Source: Smithy, "AWS query compatible" trait.
const QUERY_COMPATIBLE: &str = "sqs";

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
    /// What it is about: an ARN, or `*`.
    pub resource: String,
    caller: Caller,
    service: &'static str,
    guard: Guard,
}

impl Asked {
    /// Whether the caller may do this.
    ///
    /// # Errors
    /// Where IAM does not allow it.
    pub async fn may(&self, context: &Context) -> Result<(), Refused> {
        self.may_also(&self.action, &self.resource, context).await
    }

    /// The same of another action or another resource, which this takes too.
    ///
    /// # Errors
    /// Where IAM does not allow it.
    pub async fn may_also(&self, action: &str, resource: &str, context: &Context) -> Result<(), Refused> {
        let action = format!("{}:{action}", self.service);
        self.guard.authorize(&self.caller, &action, resource, context).await.map_err(Refused::from)
    }

    /// The parameters of a call.
    ///
    /// # Errors
    /// Where one is missing, is of another type, or is none that the stand-in knows.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_value(self.body.clone())
            .map_err(|error| Refused::new("SerializationException", format!("{}: {error}", self.action)))
    }

    /// That nobody makes such a call: it is not built.
    #[must_use]
    pub fn unknown(&self) -> Refused {
        Refused::new("UnknownOperationException", format!("{} is not played", self.action))
    }
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Such as `ValidationException`.
    pub code: &'static str,
    /// The same in the query protocol.
    pub query_code: &'static str,
    /// For a person.
    pub message: String,
    /// Of DynamoDB: the item that a condition does not hold for, where that was asked for.
    pub item: Option<Box<Value>>,
}

impl Refused {
    /// With this code and message.
    pub fn new(code: &'static str, message: impl Display) -> Self {
        Self { code, query_code: code, message: message.to_string(), item: None }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { query_code: refusal.code.in_query(), ..Self::new(refusal.code.in_json(), refusal.message) }
    }
}

/// Refuses, with `code`, a number of things or a number that is not within `allowed`, in the words in which AWS's services
/// refuse what their models do not allow.
///
/// # Errors
/// Where it is not.
pub fn check_range<T: Copy + PartialOrd + Display>(
    code: &'static str,
    name: &str,
    value: T,
    allowed: &RangeInclusive<T>,
) -> Result<(), Refused> {
    let (least, most) = (allowed.start(), allowed.end());
    let bound = match &value {
        less if less < least => format!("greater than or equal to {least}"),
        more if more > most => format!("less than or equal to {most}"),
        _ => return Ok(()),
    };
    let message = format!(
        "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must be {bound}"
    );
    Err(Refused::new(code, message))
}

/// Authenticates `request`, has `perform` do what it asks for, and notes that as a call about what `resource` says of its
/// action and its parameters: an ARN, or `*`.
pub async fn answer<F>(
    around: &Surroundings,
    service: &'static str,
    request: Request<Bytes>,
    resource: impl FnOnce(&str, &Value) -> String,
    perform: impl FnOnce(Asked) -> F,
) -> Response<Bytes>
where
    F: Future<Output = Result<Value, Refused>>,
{
    let action = request::action(&request);
    let body = serde_json::from_slice(request.body()).unwrap_or_default();
    let resource = resource(&action, &body);
    let (caller, result) = match around.guard.authenticate(service, &request).await {
        Ok(caller) => {
            let (arn, guard) = (caller.arn.clone(), around.guard.clone());
            let (action, resource) = (action.clone(), resource.clone());
            (arn, perform(Asked { action, body, resource, caller, service, guard }).await)
        }
        Err(refusal) => (String::new(), Err(refusal.into())),
    };
    let has_query_codes = service == QUERY_COMPATIBLE;
    let code = |refused: &Refused| if has_query_codes { refused.query_code } else { refused.code };
    let outcome = result.as_ref().map_or_else(code, |_| "OK");
    around.calls.record(&format!("{service}:{action}"), &caller, &resource, outcome);
    // The version of the protocol is the caller's.
    let version = request.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, version.unwrap_or(HeaderValue::from_static("application/json")))
        .header("x-amzn-requestid", around.upstream.random.uuid().to_string());
    let body = match result {
        Ok(body) => body,
        Err(Refused { code, query_code, message, item }) => {
            response = response.status(StatusCode::BAD_REQUEST);
            if has_query_codes {
                response = response.header("x-amzn-query-error", format!("{query_code};Sender"));
            }
            let mut body = json!({ "__type": code, "message": message });
            if let Some(item) = item {
                body["Item"] = *item;
            }
            body
        }
    };
    response.body(body.to_string().into()).expect("the parts are well formed")
}
