//! A public registry, as Docker Hub is.

use local_registry::{Kind, Registry, Server};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::{client, header, refusal, start};

const PULLS: u32 = 2;

struct Public {
    client: Client,
    server: Server,
    _registry: Registry,
    _folder: TempDir,
}

impl Public {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kind = Kind::Public { user: "me".into(), password: "mine".into(), pulls: PULLS };
        let (registry, server) = start(kind, folder.path()).await;
        registry.create_private("mine/hidden");
        for repository in ["library/small", "mine/hidden"] {
            registry.store_manifest(repository, Some("1"), "application/json", "{}");
        }
        Self { client: client(), server, _registry: registry, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.host)
    }

    async fn token(&self, repository: &str, password: Option<&str>) -> String {
        let path = format!("/token?scope=repository%3A{}%3Apull&service=x", repository.replace('/', "%2F"));
        let mut request = self.client.get(self.url(&path));
        if let Some(password) = password {
            request = request.basic_auth("me", Some(password));
        }
        let token: Value = request.send().await.unwrap().json().await.unwrap();
        token["token"].as_str().expect("a token").to_owned()
    }
}

#[tokio::test]
async fn a_token_is_for_one_repository() {
    let public = Public::start().await;
    let manifest = public.url("/v2/library/small/manifests/1");
    let without = public.client.get(&manifest).send().await.unwrap();
    let challenge = header(&without, "www-authenticate").expect("a challenge").to_owned();
    assert!(challenge.contains("/token\"") && challenge.ends_with("scope=\"repository:library/small:pull\""));
    assert_eq!(refusal(without).await.0, 401);

    let token = public.token("library/small", None).await;
    let pulled = public.client.get(&manifest).bearer_auth(&token).send().await.unwrap();
    assert!(header(&pulled, "docker-content-digest").is_some());
    assert_eq!(pulled.text().await.unwrap(), "{}");
    let other = public.client.get(public.url("/v2/library/other/manifests/1"));
    assert_eq!(refusal(other.bearer_auth(&token).send().await.unwrap()).await.1, "UNAUTHORIZED");
    let write = public.client.post(public.url("/v2/library/small/blobs/uploads/"));
    assert_eq!(refusal(write.bearer_auth(&token).send().await.unwrap()).await.0, 401);
}

#[tokio::test]
async fn what_is_private_wants_the_account() {
    let public = Public::start().await;
    let manifest = public.url("/v2/mine/hidden/manifests/1");
    for (password, status) in [(None, 401), (Some("mine"), 200)] {
        let token = public.token("mine/hidden", password).await;
        let pulled = public.client.get(&manifest).bearer_auth(token).send().await.unwrap();
        assert_eq!(pulled.status(), status);
    }
    let refused = public.client.get(public.url("/token?scope=repository:mine/hidden:pull"));
    let refused = refused.basic_auth("me", Some("wrong")).send().await.unwrap();
    assert_eq!(refusal(refused).await, (401, "UNAUTHORIZED".into(), "incorrect username or password".into()));
}

#[tokio::test]
async fn without_an_account_pulls_are_limited() {
    let public = Public::start().await;
    let manifest = public.url("/v2/library/small/manifests/1");
    let token = public.token("library/small", None).await;
    for _ in 0..PULLS {
        assert_eq!(public.client.get(&manifest).bearer_auth(&token).send().await.unwrap().status(), 200);
    }
    let more = public.client.get(&manifest).bearer_auth(&token).send().await.unwrap();
    let (status, code, _) = refusal(more).await;
    assert_eq!((status, code.as_str()), (429, "TOOMANYREQUESTS"));
    let token = public.token("library/small", Some("mine")).await;
    assert_eq!(public.client.get(&manifest).bearer_auth(token).send().await.unwrap().status(), 200);
}
