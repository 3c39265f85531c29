//! `mayfly image`: what it brings into the stack's repository, on registries of the tests' own.

use std::process::Stdio;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_registry::{Config, Kind, Registry, Server};
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::cloud::{Cloud, Ran};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A stack with a repository, and a public registry besides.
struct World {
    cloud: Cloud,
    public: Server,
    account: Server,
    _folders: [TempDir; 2],
}

impl World {
    /// The public registry has an image for three platforms, a layer of which is `linux/amd64` and so on, for anybody and
    /// for its one user.
    async fn start(processor: &'static str) -> Self {
        let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let kind = Kind::Public { user: "me".into(), password: "mine".into(), pulls: 100 };
        let public = Registry::new(Config { kind, folder: folders[0].path().into() });
        for repository in ["library/tool", "me/tool"] {
            put_image(&public, repository);
        }
        public.create_private("me/tool");
        let kind = Kind::Account { account: "111111111111".into(), password: "secret".into() };
        let account = Registry::new(Config { kind, folder: folders[1].path().into() });
        account.create("repository");
        let (public, account) = (Server::start(public).await.unwrap(), Server::start(account).await.unwrap());
        let cloud = Cloud::start().await;
        let token = BASE64_STANDARD.encode("AWS:secret");
        cloud.has_repository(&format!("{}/repository", account.host), &token, processor);
        Self { cloud, public, account, _folders: folders }
    }

    /// The platforms of an image in the stack's repository.
    async fn platforms(&self, reference: &str) -> Vec<String> {
        let (name, tag) = reference.rsplit_once(':').expect("a tag");
        assert_eq!(name, format!("{}/repository", self.account.host));
        let url = format!("http://{}/v2/repository/manifests/{tag}", self.account.host);
        let index = reqwest::Client::new().get(url).basic_auth("AWS", Some("secret")).send().await.unwrap();
        let index: Value = serde_json::from_slice(&index.bytes().await.unwrap()).unwrap();
        let platforms = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]);
        let part = |platform: &Value, name: &str| platform[name].as_str().unwrap().to_owned();
        platforms.map(|platform| part(platform, "os") + "/" + &part(platform, "architecture")).collect()
    }
}

fn put_image(registry: &Registry, repository: &str) {
    let images = ["linux/amd64", "linux/arm64", "linux/s390x"].map(|platform| {
        let (os, architecture) = platform.split_once('/').unwrap();
        let platform = json!({ "os": os, "architecture": architecture });
        let blob = |content: &str| {
            let digest = registry.store_blob(repository, content.as_bytes()).unwrap();
            json!({ "mediaType": "application/octet-stream", "digest": digest, "size": content.len() })
        };
        let image = json!({
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": blob(&platform.to_string()), "layers": [blob(architecture)],
        });
        let image = image.to_string();
        let size = image.len();
        let digest = registry.store_manifest(repository, None, IMAGE, image);
        json!({ "mediaType": IMAGE, "digest": digest, "size": size, "platform": platform })
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": images });
    registry.store_manifest(repository, Some("1"), INDEX, index.to_string());
}

#[tokio::test]
async fn an_image_is_copied_for_the_stack_s_processor() {
    // Nothing but what a document takes.
    let reference = Regex::new(r"^127[.\d]+:\d+/repository:tool-1-[0-9a-f]{8}\n$").unwrap();
    let told =
        Regex::new(r"^(?:  is copied  sha256:[0-9a-f]{64}  \d+ B\n){2}  sha256:[0-9a-f]{64}\n$").unwrap();
    for (processor, platform) in [("X86_64", "linux/amd64"), ("ARM64", "linux/arm64")] {
        let world = World::start(processor).await;
        let image = format!("{}/library/tool:1", world.public.host);

        let Ran { code, out, error } = world.cloud.mayfly(&["image", "copy", &image]).await;

        assert_eq!(code, 0, "{error}");
        assert!(reference.is_match(&out), "{out}");
        assert_eq!(world.platforms(out.trim()).await, [platform]);
        assert!(told.is_match(&error), "{error}");

        let again = world.cloud.mayfly(&["image", "copy", &image]).await;
        assert_eq!((again.code, again.out), (0, out));
        assert_eq!(again.error.matches("  is there   sha256:").count(), 2, "{}", again.error);
    }
}

#[tokio::test]
async fn an_image_is_copied_for_the_platforms_that_are_named() {
    let world = World::start("X86_64").await;
    let image = format!("{}/library/tool:1", world.public.host);
    for (platforms, copied) in [
        (&["linux/arm64", "linux/s390x"][..], &["linux/arm64", "linux/s390x"][..]),
        (&["all"], &["linux/amd64", "linux/arm64", "linux/s390x"]),
    ] {
        let mut arguments = vec!["image", "copy", &image];
        arguments.extend(platforms.iter().flat_map(|platform| ["--platform", platform]));
        let Ran { code, out, error } = world.cloud.mayfly(&arguments).await;
        assert_eq!(code, 0, "{error}");
        assert_eq!(world.platforms(out.trim()).await, copied);
    }
}

#[tokio::test]
async fn a_password_is_read_and_shown_nowhere() {
    let world = World::start("X86_64").await;
    let image = format!("{}/me/tool:1", world.public.host);
    for (password, code) in [("mine\n", 0), ("wrong\n", 1)] {
        let mut command = world.cloud.command(&["image", "copy", &image, "--username", "me"]);
        let mut mayfly = command.stdin(Stdio::piped()).spawn().unwrap();
        mayfly.stdin.take().unwrap().write_all(password.as_bytes()).await.unwrap();
        let ended = mayfly.wait_with_output().await.unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{error}");
        assert!(!error.contains(password.trim()), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_told_with_a_remedy() {
    let world = World::start("X86_64").await;
    let host = &world.public.host;
    for (image, said) in [
        (
            "library/tool:2",
            "MANIFEST_UNKNOWN: manifest unknown; look for a mistake in its name, tag or digest",
        ),
        (
            "library/none:1",
            "either it does not exist, or it takes the credentials of somebody who may have it",
        ),
        ("library/Tool:1", "names no image"),
    ] {
        let Ran { code, out, error } =
            world.cloud.mayfly(&["image", "copy", &format!("{host}/{image}")]).await;
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(error.starts_with("mayfly: ") && error.contains(said), "{error}");
    }
    let image = format!("{host}/library/tool:1");
    let Ran { code, error, .. } =
        world.cloud.mayfly(&["image", "copy", &image, "--platform", "windows/amd64"]).await;
    assert_eq!(code, 1);
    assert!(error.ends_with("linux/amd64, linux/arm64, linux/s390x; choose among these\n"), "{error}");

    world.cloud.refuses("GetAuthorizationToken", 1, "AccessDeniedException");
    let Ran { code, error, .. } = world.cloud.mayfly(&["image", "copy", &image]).await;
    assert_eq!(code, 1);
    assert_eq!(
        error,
        "mayfly: could not sign in at the stack's repository: AccessDeniedException: in words\n"
    );
}

#[tokio::test]
async fn the_worker_is_pushed_for_both_processors() {
    let world = World::start("X86_64").await;
    for (name, machine) in [("amd64", 62_u16), ("arm64", 183)] {
        let mut program = vec![0; 64];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[18..20].copy_from_slice(&machine.to_le_bytes());
        std::fs::write(world.cloud.folder().join(name), program).unwrap();
    }
    let arguments = ["image", "push-worker", "--amd64", "amd64", "--arm64", "arm64"];
    let Ran { code, out, error } = world.cloud.mayfly(&arguments).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(out, format!("{}/repository:worker\n", world.account.host));
    assert_eq!(world.platforms(out.trim()).await, ["linux/amd64", "linux/arm64"]);

    for (arm64, said) in [
        ("amd64", "the program for linux/arm64 is for another processor; build it with `make worker`"),
        ("none", "could not read none; `make worker` builds the worker: No such file or directory"),
    ] {
        let Ran { code, out, error } =
            world.cloud.mayfly(&["image", "push-worker", "--amd64", "amd64", "--arm64", arm64]).await;
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(error.contains(said), "{error}");
    }
}
