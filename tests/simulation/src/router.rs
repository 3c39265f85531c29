//! The way from a client of the SDK to the service that its request is signed for.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use local_aws::server::Service;
use mayfly_stand_ins::request::{action, is_of, service};

use crate::witness::Witness;

/// The host that the stand-ins take for MiniStack's, where the stack's own networks and clusters would be.
pub const MINISTACK: &str = "http://ministack";

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

#[async_trait]
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

/// That MiniStack has no networks and no clusters: the stack's are made in the stand-ins.
fn nothing(request: &Request<Bytes>) -> Response<Bytes> {
    let body = match action(request).as_str() {
        "ListClusters" | "DescribeClusters" => "{}".to_owned(),
        action => format!("<{action}Response/>"),
    };
    respond(StatusCode::OK, "application/json", body)
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind);
    response.body(body.into()).expect("the parts are well formed")
}
