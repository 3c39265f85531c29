//! What the account's registry says of the stack's own images. What is in them is this machine's: `local/ecs/images.json`.

use std::env::consts::ARCH;
use std::io;

use local_registry::Registry;
use serde_json::{Value, json};

/// Source: OCI image specification, "Image Manifest" and "Image Configuration".
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

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
