//! Requests in and answers out, on two sockets: the registry's, and that of the store behind it.

use std::io;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Method, Request, Response, StatusCode, header};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Registry;
use crate::error::ApiError;
use crate::manifests::MANIFEST_LIMIT;

/// A registry on sockets of this machine, until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// What references to its images begin with, such as `127.0.0.1:5000`.
    pub host: String,
    _stop: DropGuard,
}

impl Server {
    /// Serves `registry` on free ports of loopback.
    ///
    /// # Errors
    /// When there is no such port.
    pub async fn start(registry: Registry) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let [front, store] =
            [TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?];
        let (host, store_host) = (front.local_addr()?.to_string(), store.local_addr()?.to_string());
        let (fetched, called) = (registry.clone(), host.clone());
        let registry = Router::new().fallback(move |request: Request<Body>| {
            let (registry, host, store) = (registry.clone(), called.clone(), store_host.clone());
            async move { answered(registry.answer(&host, &store, request).await) }
        });
        let stored = Router::new().fallback(move |request: Request<Body>| {
            let registry = fetched.clone();
            async move {
                let (digest, query) = (request.uri().path().trim_start_matches('/'), request.uri().query());
                answered(registry.fetch(request.headers(), digest, query.unwrap_or_default()).await)
            }
        });
        for (listener, app) in [(front, registry), (store, stored)] {
            let stopped = stop.clone().cancelled_owned();
            tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(stopped).into_future());
        }
        Ok(Self { host, _stop: stop.drop_guard() })
    }
}

impl Registry {
    async fn answer(
        &self,
        host: &str,
        store: &str,
        request: Request<Body>,
    ) -> Result<Response<Body>, ApiError> {
        let (parts, body) = request.into_parts();
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        if path == "/token" {
            let token = self.give_token(&parts.headers, query)?.to_string();
            return Ok(Response::new(token.into()));
        }
        let path = path.strip_prefix("/v2/").ok_or_else(|| ApiError::unsupported(path))?;
        if path.is_empty() {
            self.admit(host, &parts.headers, None, false)?;
            return Ok(Response::new(json!({}).to_string().into()));
        }
        let is_write = ![Method::GET, Method::HEAD].contains(&parts.method);
        let (repository, kind, name) =
            split(path).ok_or_else(|| ApiError::unsupported(&format!("the path /v2/{path}")))?;
        let caller = self.admit(host, &parts.headers, Some(repository), is_write)?;
        match (&parts.method, kind, name) {
            (&Method::HEAD, "blobs", digest) => self.head_blob(repository, digest).await,
            (&Method::GET, "blobs", digest) => self.get_blob(store, repository, digest),
            (&Method::POST, "uploads", "") if query.is_empty() => self.begin_upload(repository),
            (&Method::PATCH, "uploads", id) => self.add_part(repository, id, body).await,
            (&Method::PUT, "uploads", id) => {
                let digest = query.split('&').find_map(|pair| pair.strip_prefix("digest="));
                let digest = digest.map(|digest| digest.replace("%3A", ":"));
                let missing = || ApiError::invalid("DIGEST_INVALID", "the parameter digest is missing");
                self.end_upload(repository, id, &digest.ok_or_else(missing)?, body).await
            }
            (&Method::GET, "manifests", reference) => self.get_manifest(caller, repository, reference),
            (&Method::PUT, "manifests", reference) => {
                let too_large =
                    |_| ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "manifest too large");
                let content = to_bytes(body, MANIFEST_LIMIT).await.map_err(too_large)?;
                self.put_manifest(&parts.headers, repository, reference, content)
            }
            (method, kind, _) => Err(ApiError::unsupported(&format!("{method} of {kind}"))),
        }
    }
}

/// Repository, kind and name: `a/b/manifests/latest`, `a/b/blobs/sha256:…`, `a/b/blobs/uploads/ID`.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let (rest, name) = path.rsplit_once('/')?;
    if let Some(repository) = rest.strip_suffix("/blobs/uploads") {
        return Some((repository, "uploads", name));
    }
    let (repository, kind) = rest.rsplit_once('/')?;
    ["blobs", "manifests"].contains(&kind).then_some((repository, kind, name))
}

fn answered(result: Result<Response<Body>, ApiError>) -> Response<Body> {
    let mut response = result.unwrap_or_else(|error| error.response());
    let version = "registry/2.0".parse().expect("a header's value");
    response.headers_mut().insert("docker-distribution-api-version", version);
    response
        .headers_mut()
        .entry(header::CONTENT_TYPE)
        .or_insert("application/json".parse().expect("a header's value"));
    response
}
