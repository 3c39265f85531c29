//! The way from a client of the SDK to the service that its request is signed for.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use local_aws::server::Service;

use crate::witness::Witness;

/// The host that the stand-ins take for MiniStack's, where the stack's own networks and clusters would be.
pub const MINISTACK: &str = "http://ministack";

/// The host that gives out the layers of ECR's images, whose URLs are signed in themselves.
pub const LAYERS: &str = "https://layers";

type Answer = dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync;

/// All services of the account. Clones share them.
#[derive(Clone, Default)]
pub struct Router {
    services: Arc<OnceLock<BTreeMap<&'static str, Box<Answer>>>>,
    /// Who sees what is answered.
    pub witness: Witness,
}

impl Debug for Router {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Router")
    }
}

/// The services that a router is to lead to, by the name in a signature's scope.
#[derive(Default)]
pub struct Services(BTreeMap<&'static str, Box<Answer>>);

impl Services {
    /// Adds `service`, which requests name `name` in their signatures.
    #[must_use]
    pub fn with(mut self, name: &'static str, service: impl Service) -> Self {
        let answer = move |request| {
            let service = service.clone();
            // Whoever has sent a request may die; it has been sent all the same.
            tokio::spawn(async move { service.answer(request).await })
                .map(|answer| answer.expect("a stand-in does not panic"))
                .boxed()
        };
        self.0.insert(name, Box::new(answer));
        self
    }
}

impl Router {
    /// Leads to `services` from now on.
    ///
    /// # Panics
    /// When it does already.
    pub fn open(&self, services: Services) {
        assert!(self.services.set(services.0).is_ok(), "a router is opened once");
    }
}

impl Service for Router {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let service = service(&request);
        if is_of(&request, MINISTACK) && matches!(service.as_str(), "ec2" | "ecs") {
            return nothing(&request);
        }
        if let Some(answer) = self.services.get().and_then(|services| services.get(service.as_str())) {
            let tell = self.witness.of(&request);
            let response = answer(request).await;
            if let Some(tell) = tell {
                tell(&response);
            }
            return response;
        }
        tracing::error!(service, uri = %request.uri(), "nobody answers for this service");
        respond(StatusCode::NOT_IMPLEMENTED, "text/plain", format!("nobody answers for `{service}`"))
    }
}

/// The service in the scope of the request's signature: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
pub fn service(request: &Request<Bytes>) -> String {
    if is_of(request, LAYERS) {
        return "ecr".to_owned();
    }
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scope = authorization.and_then(|text| text.split_once("Credential=")).map(|(_, scope)| scope);
    scope.and_then(|scope| scope.split('/').nth(3)).unwrap_or_default().to_owned()
}

fn is_of(request: &Request<Bytes>, origin: &str) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, named)| named == host))
}

/// That MiniStack has no networks and no clusters: the stack's are made in the stand-ins.
fn nothing(request: &Request<Bytes>) -> Response<Bytes> {
    let body = match action(request).as_str() {
        "ListClusters" | "DescribeClusters" => "{}".to_owned(),
        action => format!("<{action}Response/>"),
    };
    respond(StatusCode::OK, "application/json", body)
}

/// What the request asks for, as its protocol says it: in a header, in a form, or by method and path.
pub fn action(request: &Request<Bytes>) -> String {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    if let Some((_, action)) = target.and_then(|target| target.rsplit_once('.')) {
        return action.to_owned();
    }
    if service(request) == "ecr" {
        return "GetLayer".to_owned();
    }
    let form = std::str::from_utf8(request.body()).unwrap_or_default();
    let action = form.split('&').find_map(|field| field.strip_prefix("Action=")).or_else(|| of_s3(request));
    action.map_or_else(|| format!("{} {}", request.method(), request.uri().path()), str::to_owned)
}

/// What a request to S3 asks for, of what functions ask.
fn of_s3(request: &Request<Bytes>) -> Option<&'static str> {
    let is_of_s3 = service(request) == "s3";
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match request.method().as_str() {
        _ if !is_of_s3 => None,
        "POST" if has("uploads") => Some("CreateMultipartUpload"),
        "DELETE" if has("uploadId") => Some("AbortMultipartUpload"),
        "GET" if has("uploadId") => Some("ListParts"),
        "GET" if has("uploads") => Some("ListMultipartUploads"),
        "GET" if has("list-type") => Some("ListObjectsV2"),
        "HEAD" => Some("HeadBucket"),
        _ => None,
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind);
    response.body(body.into()).expect("the parts are well formed")
}
