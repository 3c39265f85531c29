//! The registry by hand, request by request: what it takes, and what it refuses as ECR and Docker Hub do.

mod account;
mod public;

use std::path::Path;

use local_registry::{Config, Kind, Registry, Server};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A client that follows nothing.
fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

async fn start(kind: Kind, folder: &Path) -> (Registry, Server) {
    let registry = Registry::new(Config { kind, folder: folder.to_owned() });
    let server = Server::start(registry.clone()).await.expect("a port");
    (registry, server)
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("text"))
}

/// Status, and code and message of the first error.
async fn refusal(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    let error = &body["errors"][0];
    let text = |name: &str| error[name].as_str().expect("text").to_owned();
    (status, text("code"), text("message"))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}
