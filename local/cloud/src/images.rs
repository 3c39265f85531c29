//! What the account's registry says of the stack's own images. What is in them is this machine's: `local/ecs/images.json`.

use std::env::consts::ARCH;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::upstream::Upstream;
use local_registry::{Config, Ecr, EcrConfig, Kind, Registry, Server};
use serde_json::{Value, json};

use crate::ACCOUNT;

/// Source: OCI image specification, "Image Manifest" and "Image Configuration".
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Starts the account's registry, which keeps what it has in `cloud`, and ECR beside it.
///
/// # Errors
/// When its folder cannot be made, or it cannot listen.
pub async fn start(
    cloud: &Path,
    upstream: &Upstream,
    guard: &Guard,
    calls: &CallLog,
) -> Result<(Registry, Server, Ecr)> {
    let (folder, password) = (cloud.join("images"), format!("{:032x}", upstream.random.value::<u128>()));
    fs::create_dir(&folder)?;
    let kind = Kind::Account { account: ACCOUNT.to_owned(), password: password.clone() };
    let registry = Registry::new(Config { kind, folder });
    let server = Server::start(registry.clone()).await?;
    let ecr = Ecr::new(EcrConfig {
        upstream: upstream.clone(),
        guard: guard.clone(),
        calls: calls.clone(),
        store: Arc::new(registry.clone()),
        registry: (format!("http://{}", server.host), password),
        origin: upstream.ecr.clone(),
    });
    Ok((registry, server, ecr))
}

/// Puts the worker's image and that of jobs that name none into `repository`.
///
/// # Errors
/// When the registry's folder cannot be written.
pub fn publish(registry: &Registry, repository: &str) -> io::Result<()> {
    registry.create(repository);
    let images =
        [("worker", json!({ "Entrypoint": ["/usr/local/bin/mayfly-worker"] })), ("default", json!({}))];
    for (tag, config) in images {
        let config = json!({
            "architecture": if ARCH == "aarch64" { "arm64" } else { "amd64" },
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let config = config.to_string();
        let digest = registry.store_blob(repository, config.as_bytes())?;
        let manifest: Value = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": digest, "size": config.len() },
            "layers": [],
        });
        registry.store_manifest(repository, Some(tag), MANIFEST, manifest.to_string());
    }
    Ok(())
}
