//! An account's own registry, which is ECR's.

use local_registry::{Kind, Registry, Server};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{client, digest, header, refusal, start};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

struct Account {
    client: Client,
    _registry: Registry,
    server: Server,
    folder: TempDir,
}

impl Account {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kind = Kind::Account { account: "111122223333".into(), password: "secret".into() };
        let (registry, server) = start(kind, folder.path()).await;
        registry.create("tools/jobs");
        Self { client: client(), _registry: registry, server, folder }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.server.host);
        self.client.request(method, url).basic_auth("AWS", Some("secret"))
    }

    /// The path of a new upload.
    async fn begin(&self) -> String {
        let begun = self.request(Method::POST, "/v2/tools/jobs/blobs/uploads/").send().await.unwrap();
        assert_eq!(begun.status(), 202);
        header(&begun, "location").expect("a place").to_owned()
    }

    async fn put_blob(&self, content: &'static [u8]) -> String {
        let (path, digest) = (self.begin().await, digest(content));
        let put =
            self.request(Method::PUT, &format!("{path}?digest={digest}")).body(content).send().await.unwrap();
        assert_eq!(put.status(), 201);
        digest
    }

    fn put_manifest(&self, name: &str, media_type: &str, manifest: &Value) -> RequestBuilder {
        let put = self.request(Method::PUT, &format!("/v2/tools/jobs/manifests/{name}"));
        put.header("content-type", media_type).body(manifest.to_string())
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

#[tokio::test]
async fn only_the_user_aws_with_the_token_s_password_is_let_in() {
    let account = Account::start().await;
    let url = format!("http://{}/v2/", account.server.host);

    let nobody = account.client.get(&url).send().await.unwrap();
    let challenge = header(&nobody, "www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Basic realm=") && challenge.contains("service=\"ecr.amazonaws.com\""));
    assert_eq!(refusal(nobody).await.0, 401);

    let wrong = account.client.get(&url).basic_auth("AWS", Some("other")).send().await.unwrap();
    let (status, code, message) = refusal(wrong).await;
    assert_eq!((status, code.as_str()), (403, "DENIED"));
    assert_eq!(message, "Your authorization token has expired. Reauthenticate and try again.");

    assert_eq!(account.request(Method::GET, "/v2/").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_blob_that_is_put_whole_is_fetched_from_the_store_behind() {
    let account = Account::start().await;
    let digest = account.put_blob(b"content").await;
    let path = format!("/v2/tools/jobs/blobs/{digest}");

    let head = account.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, Some("7")));
    let get = account.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(get.status(), 307);
    let url = header(&get, "location").expect("a place").to_owned();
    assert!(!url.contains(&account.server.host), "{url}: it is another server");

    let fetched = account.client.get(&url).send().await.unwrap();
    assert_eq!(fetched.bytes().await.unwrap().as_ref(), b"content");
    let both = account.client.get(&url).basic_auth("AWS", Some("secret")).send().await.unwrap();
    assert_eq!(refusal(both).await.2, "Only one auth mechanism allowed");
    let unsigned = account.client.get(url.split('?').next().unwrap()).send().await.unwrap();
    assert_eq!(refusal(unsigned).await.1, "AccessDenied");
}

#[tokio::test]
async fn of_a_blob_in_chunks_all_but_the_first_are_dropped_in_silence() {
    let account = Account::start().await;
    let path = account.begin().await;
    for (chunk, range) in [("abc", "0-2"), ("def", "0-2"), ("ghi", "0-2")] {
        let patched = account.request(Method::PATCH, &path).body(chunk).send().await.unwrap();
        assert_eq!((patched.status().as_u16(), header(&patched, "range")), (201, Some(range)), "{chunk}");
    }
    let put = account.request(Method::PUT, &format!("{path}?digest={}", digest(b"abcdefghi")));
    let (status, code, message) = refusal(put.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (400, "BLOB_UPLOAD_INVALID"));
    assert_eq!(message, "None of the provided layer digests match the calculated layer digest");
    assert_eq!(account.files(), 0, "nothing of it is kept");

    let path = account.begin().await;
    account.request(Method::PATCH, &path).body("abc").send().await.unwrap();
    let put = account.request(Method::PUT, &format!("{path}?digest={}", digest(b"abcdef")));
    assert_eq!(put.body("def").send().await.unwrap().status(), 201, "one chunk, and the rest with the end");
}

#[tokio::test]
async fn a_blob_has_content_and_its_digest() {
    let account = Account::start().await;
    for (content, said) in [("", "does not have any parts."), ("other", "None of the provided layer digests")]
    {
        let path = format!("{}?digest={}", account.begin().await, digest(b"content"));
        let (status, code, message) =
            refusal(account.request(Method::PUT, &path).body(content).send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (400, "BLOB_UPLOAD_INVALID"), "{content:?}");
        assert!(message.contains(said), "{message}");
        let again = account.request(Method::PUT, &path).body("content").send().await.unwrap();
        assert_eq!(refusal(again).await.1, "BLOB_UPLOAD_UNKNOWN", "an upload is over with its end");
    }
    let path = account.begin().await;
    let put = account.request(Method::PUT, &path).body("content").send().await.unwrap();
    assert_eq!(refusal(put).await.1, "DIGEST_INVALID");
    assert_eq!(account.files(), 0);
}

#[tokio::test]
async fn a_manifest_names_what_is_there() {
    let account = Account::start().await;
    let image = |config: &str, layer: &str| json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": { "digest": config }, "layers": [{ "digest": layer }] });
    let (config, absent) = (account.put_blob(b"{}").await, digest(b"absent"));
    for (config, layer) in [(&config, &absent), (&absent, &config)] {
        let put = account.put_manifest("latest", IMAGE, &image(config, layer)).send().await.unwrap();
        let (status, code, message) = refusal(put).await;
        assert_eq!((status, code.as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
        assert!(message.contains(&absent) && message.contains("111122223333"), "{message}");
    }
    let image = image(&config, &config);
    let image_digest = digest(image.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{ "digest": image_digest }] });
    let put = account.put_manifest("latest", INDEX, &index).send().await.unwrap();
    let (_, code, message) = refusal(put).await;
    assert_eq!(code, "MANIFEST_BLOB_UNKNOWN");
    assert!(message.starts_with(&format!("Images with digests '[{image_digest}]' required")), "{message}");

    let put = account.put_manifest(&image_digest, IMAGE, &image).send().await.unwrap();
    assert_eq!((put.status().as_u16(), header(&put, "location")), (201, None));
    assert_eq!(account.put_manifest("latest", INDEX, &index).send().await.unwrap().status(), 201);
    for (name, manifest, media_type) in [("latest", &index, INDEX), (&image_digest, &image, IMAGE)] {
        let get =
            account.request(Method::GET, &format!("/v2/tools/jobs/manifests/{name}")).send().await.unwrap();
        assert_eq!(header(&get, "content-type"), Some(media_type));
        assert_eq!(header(&get, "docker-content-digest"), None);
        assert_eq!(get.text().await.unwrap(), manifest.to_string());
    }
}

#[tokio::test]
async fn a_manifest_is_what_its_name_and_its_type_say() {
    let account = Account::start().await;
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    for (name, media_type, code) in
        [(digest(b"other").as_str(), INDEX, "DIGEST_INVALID"), ("latest", IMAGE, "MANIFEST_INVALID")]
    {
        let put = account.put_manifest(name, media_type, &index).send().await.unwrap();
        assert_eq!(refusal(put).await.1, code);
    }
    let put = account.request(Method::PUT, "/v2/tools/jobs/manifests/latest").header("content-type", INDEX);
    assert_eq!(refusal(put.body("{").send().await.unwrap()).await.1, "MANIFEST_INVALID");
    let get = account.request(Method::GET, "/v2/tools/jobs/manifests/latest").send().await.unwrap();
    assert_eq!(refusal(get).await, (404, "MANIFEST_UNKNOWN".into(), "manifest unknown".into()));
}

#[tokio::test]
async fn no_push_makes_a_repository() {
    let account = Account::start().await;
    let begun = account.request(Method::POST, "/v2/other/blobs/uploads/").send().await.unwrap();
    let (status, code, message) = refusal(begun).await;
    assert_eq!((status, code.as_str()), (404, "NAME_UNKNOWN"));
    assert_eq!(
        message,
        "The repository with name 'other' does not exist in the registry with id '111122223333'"
    );
}

#[tokio::test]
async fn what_is_not_served_is_refused_by_name() {
    let account = Account::start().await;
    for (method, path) in [
        (Method::GET, "/v2/tools/jobs/tags/list"),
        (Method::DELETE, "/v2/tools/jobs/manifests/latest"),
        (Method::POST, "/v2/tools/jobs/blobs/uploads/?mount=sha256:0a&from=other"),
        (Method::GET, "/v1/"),
    ] {
        let (status, code, _) = refusal(account.request(method, path).send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (405, "UNSUPPORTED"), "{path}");
    }
}
