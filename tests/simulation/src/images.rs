//! What the account's registry has: one image for each that a job may name there, which says what it runs and as whom.

use bytes::Bytes;
use local_registry::{NoRepository, Store};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An index of both processors, and what each of its entries says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Images;

/// What the repositories' names have in them, and the tags that each has: the stack's own, and one of a person's.
const REPOSITORIES: [(&str, &[&str]); 2] = [("-repository-", &["default", "worker"]), ("nginx", &["stable"])];
/// The processors, as images call them.
const PROCESSORS: [&str; 2] = ["amd64", "arm64"];
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn configuration(processor: &str) -> Bytes {
    let config = json!({ "Entrypoint": ["/bin/work"], "Cmd": ["hard"], "User": "1000" });
    text(&json!({ "architecture": processor, "os": "linux", "config": config }))
}

fn manifest(processor: &str) -> Bytes {
    text(
        &json!({ "schemaVersion": 2, "config": { "digest": digest(&configuration(processor)) }, "layers": [] }),
    )
}

fn index() -> Bytes {
    let entries = PROCESSORS.map(|processor| {
        let platform = json!({ "architecture": processor, "os": "linux" });
        json!({ "digest": digest(&manifest(processor)), "platform": platform })
    });
    text(&json!({ "schemaVersion": 2, "manifests": entries }))
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn tags(repository: &str) -> Result<&'static [&'static str], NoRepository> {
    let found = REPOSITORIES.iter().find(|(name, _)| repository.contains(name));
    found.map(|(_, tags)| *tags).ok_or(NoRepository)
}

impl Store for Images {
    fn manifest(&self, repository: &str, reference: &str) -> Result<Option<(String, Bytes)>, NoRepository> {
        if tags(repository)?.contains(&reference) {
            return Ok(Some((INDEX.to_owned(), index())));
        }
        let found = PROCESSORS.map(manifest).into_iter().find(|content| digest(content) == reference);
        Ok(found.map(|content| (MANIFEST.to_owned(), content)))
    }

    fn blob(&self, repository: &str, wanted: &str) -> Result<Option<Bytes>, NoRepository> {
        tags(repository)?;
        Ok(PROCESSORS.map(configuration).into_iter().find(|content| digest(content) == wanted))
    }
}
