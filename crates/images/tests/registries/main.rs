//! Images between registries: a public one, and an account's own that is as strict as ECR.

mod copies;
mod programs;
mod refusals;

use bytes::Bytes;
use local_registry::{Config, Kind, Registry, Server};
use mayfly_images::{Credentials, Error, Remote};
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The account's repository.
const REPOSITORY: &str = "stack-repository";
/// More pulls without an account than most tests make.
const PULLS: u32 = 20;

/// Where images come from and go to.
struct World {
    public: Registry,
    public_server: Server,
    public_folder: TempDir,
    account_server: Server,
    _account_folder: TempDir,
}

impl World {
    async fn start() -> Self {
        let (public_folder, account_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kind = Kind::Public { user: "me".into(), password: "mine".into(), pulls: PULLS };
        let public = Registry::new(Config { kind, folder: public_folder.path().into() });
        let kind = Kind::Account { account: "111122223333".into(), password: "secret".into() };
        let account = Registry::new(Config { kind, folder: account_folder.path().into() });
        account.create(REPOSITORY);
        let public_server = Server::start(public.clone()).await.expect("a port");
        let account_server = Server::start(account).await.expect("a port");
        Self { public, public_server, public_folder, account_server, _account_folder: account_folder }
    }

    /// An image of the public registry, for anybody.
    fn source(&self, image: &str) -> Remote {
        self.source_for(image, Credentials::Anonymous)
    }

    fn source_for(&self, image: &str, credentials: Credentials) -> Remote {
        Remote::source(&format!("{}/{image}", self.public_server.host), credentials).expect("a reference")
    }

    /// A tag of the account's repository.
    fn target(&self, tag: &str) -> Remote {
        let name = format!("{}/{REPOSITORY}:{tag}", self.account_server.host);
        Remote::target(&name, password("AWS", "secret")).expect("a reference")
    }

    /// An image with two layers for one platform, without a tag, as the entry of an index.
    fn image(&self, repository: &str, platform: &Value, layers: [&[u8]; 2]) -> Value {
        let config = platform.to_string();
        let blob = |media_type: &str, content: &[u8]| {
            let digest = self.public.store_blob(repository, content).expect("the folder can be written");
            json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "config": blob(IMAGE_CONFIG_MEDIA_TYPE, config.as_bytes()),
            "layers": layers.map(|layer| blob(IMAGE_LAYER_GZIP_MEDIA_TYPE, layer)),
        });
        // Not as any library would write it: a digest is of bytes.
        let manifest = format!("{manifest:#}");
        let digest = self.public.store_manifest(repository, None, OCI_IMAGE_MEDIA_TYPE, manifest.clone());
        json!({ "mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": digest, "size": manifest.len(), "platform": platform })
    }

    /// An index for x86-64 and ARM64, whose images share a layer, and with an attestation of the first. Returns its bytes.
    fn index(&self, repository: &str, tag: &str) -> String {
        let platform = |architecture: &str| json!({ "os": "linux", "architecture": architecture });
        let mut arm64 = platform("arm64");
        arm64["variant"] = "v8".into();
        let images = [
            self.image(repository, &platform("amd64"), [b"shared", b"for amd64"]),
            self.image(repository, &arm64, [b"shared", b"for arm64"]),
            self.image(
                repository,
                &json!({ "os": "unknown", "architecture": "unknown" }),
                [b"a word on it", b"and another"],
            ),
        ];
        let index =
            json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": images });
        let index = format!("{index:#}");
        self.public.store_manifest(repository, Some(tag), OCI_IMAGE_INDEX_MEDIA_TYPE, index.clone());
        index
    }

    /// What the account's registry answers.
    async fn pull(&self, path: &str) -> Pulled {
        let url = format!("http://{}/v2/{REPOSITORY}/{path}", self.account_server.host);
        let response = Client::new().get(url).basic_auth("AWS", Some("secret")).send().await.unwrap();
        let status = response.status().as_u16();
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        Pulled { status, media_type, content: response.bytes().await.unwrap() }
    }
}

struct Pulled {
    status: u16,
    media_type: String,
    content: Bytes,
}

impl Pulled {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.content).expect("JSON")
    }
}

fn password(user: &str, password: &str) -> Credentials {
    Credentials::Password { user: user.into(), password: password.into() }
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// An error as a command prints it, with its causes.
fn words(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
