//! ECR's own API beside the registry's: who may push and pull, and what a function reads of an image without pulling it.
//! Source: ECR API Reference, by the name of each call.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use jiff::SignedDuration;
use local_aws::auth::{Caller, Guard, Refusal};
use local_aws::calls::CallLog;
use local_aws::policy::Context;
use local_aws::server::Service;
use local_aws::upstream::Upstream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Registry, digest};

/// What every `X-Amz-Target` of ECR starts with.
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.";
/// Source: `GetAuthorizationToken`.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(12);
/// What the path of a blob in the store begins with.
const STORE: &str = "/layers/";

/// What a repository has.
pub trait Store: Debug + Send + Sync {
    /// The media type and the content of a manifest by tag or digest; none where the repository has none such.
    ///
    /// # Errors
    /// Where there is no such repository.
    fn manifest(&self, repository: &str, reference: &str) -> Result<Option<(String, Bytes)>, NoRepository>;

    /// A blob by its digest; none where the repository has none such.
    ///
    /// # Errors
    /// Where there is no such repository.
    fn blob(&self, repository: &str, digest: &str) -> Result<Option<Bytes>, NoRepository>;
}

/// There is no such repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRepository;

/// What ECR's API works with.
#[derive(Clone, Debug)]
pub struct EcrConfig {
    /// The account.
    pub upstream: Upstream,
    /// Who is calling, and what the caller may do.
    pub guard: Guard,
    /// Where each answered call is noted.
    pub calls: CallLog,
    /// The repositories.
    pub store: Arc<dyn Store>,
    /// The origin of the registry, and the password of its user `AWS`.
    pub registry: (String, String),
    /// The origin at which this is asked for blobs.
    pub origin: String,
}

/// ECR's API. Clones share one state.
#[derive(Clone, Debug)]
pub struct Ecr(Arc<EcrConfig>);

impl Ecr {
    /// The API of a registry.
    pub fn new(config: EcrConfig) -> Self {
        Self(Arc::new(config))
    }
}

impl Store for Registry {
    fn manifest(&self, repository: &str, reference: &str) -> Result<Option<(String, Bytes)>, NoRepository> {
        let state = self.state();
        let found = state.repositories.get(repository).ok_or(NoRepository)?;
        let digest = found.tags.get(reference).map_or(reference, String::as_str);
        let manifest = found.manifests.get(digest);
        Ok(manifest.map(|manifest| (manifest.media_type.clone(), manifest.content.clone())))
    }

    fn blob(&self, repository: &str, digest: &str) -> Result<Option<Bytes>, NoRepository> {
        let state = self.state();
        let found = state.repositories.get(repository).ok_or(NoRepository)?;
        Ok(found.blobs.contains(digest).then(|| std::fs::read(self.file(digest)).unwrap_or_default().into()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BatchGetImage {
    registry_id: Option<String>,
    repository_name: String,
    image_ids: Vec<ImageIdentifier>,
    accepted_media_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImageIdentifier {
    image_tag: Option<String>,
    image_digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GetDownloadUrlForLayer {
    registry_id: Option<String>,
    repository_name: String,
    layer_digest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetAuthorizationToken {}

/// An error of ECR's API.
#[derive(Debug)]
struct EcrError {
    code: &'static str,
    message: String,
}

impl EcrError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Refusal> for EcrError {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.in_json(), message: refusal.message }
    }
}

#[async_trait]
impl Service for Ecr {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        if let Some(place) = request.uri().path().strip_prefix(STORE) {
            return self.fetch(place, request.uri().query().unwrap_or_default());
        }
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let action = target.and_then(|target| target.strip_prefix(TARGET)).unwrap_or_default();
        let mut caller = String::new();
        let outcome = self.call(action, &request, &mut caller).await;
        let code = outcome.as_ref().map_or_else(|error| error.code, |_| "OK");
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let named = body["repositoryName"].as_str().unwrap_or("*");
        self.0.calls.record(&format!("ecr:{action}"), &caller, named, code);
        let (status, body) = match outcome {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => {
                (StatusCode::BAD_REQUEST, json!({ "__type": error.code, "message": error.message }))
            }
        };
        respond(status, "application/x-amz-json-1.1", body.to_string().into())
    }
}

impl Ecr {
    async fn call(
        &self,
        action: &str,
        request: &Request<Bytes>,
        name: &mut String,
    ) -> Result<Value, EcrError> {
        let caller = self.0.guard.authenticate("ecr", request).await?;
        name.clone_from(&caller.arn);
        let body = request.body();
        match action {
            "BatchGetImage" => self.batch_get_image(&caller, parse(body)?).await,
            "GetAuthorizationToken" => self.get_authorization_token(&caller, parse(body)?).await,
            "GetDownloadUrlForLayer" => self.get_download_url(&caller, parse(body)?).await,
            _ => Err(EcrError::new(
                "UnknownOperationException",
                format!("the local ECR has no action {action:?}"),
            )),
        }
    }

    async fn batch_get_image(&self, caller: &Caller, asked: BatchGetImage) -> Result<Value, EcrError> {
        let BatchGetImage { registry_id, repository_name: repository, image_ids, accepted_media_types } =
            asked;
        self.allow(caller, "BatchGetImage", registry_id.as_deref(), &repository).await?;
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for ImageIdentifier { image_tag, image_digest } in image_ids {
            let Some(reference) = image_digest.as_deref().or(image_tag.as_deref()) else {
                return Err(EcrError::new("InvalidParameterException", "an image is named by tag or digest"));
            };
            let found =
                self.0.store.manifest(&repository, reference).map_err(|_| self.no_repository(&repository))?;
            let Some((media_type, content)) = found else {
                failures.push(json!({
                    "imageId": { "imageTag": image_tag, "imageDigest": image_digest },
                    "failureCode": "ImageNotFound",
                    "failureReason": "Requested image not found",
                }));
                continue;
            };
            // ECR makes none of one kind out of another here: nobody asks for that.
            if accepted_media_types.as_ref().is_some_and(|accepted| !accepted.contains(&media_type)) {
                return Err(EcrError::new(
                    "InvalidParameterException",
                    format!("the local ECR does not turn {media_type} into another kind"),
                ));
            }
            images.push(json!({
                "registryId": self.0.upstream.account,
                "repositoryName": repository,
                "imageId": { "imageTag": image_tag, "imageDigest": digest(&content) },
                "imageManifest": String::from_utf8_lossy(&content),
                "imageManifestMediaType": media_type,
            }));
        }
        Ok(json!({ "images": images, "failures": failures }))
    }

    /// The URL is one of S3's, which is good for whoever has it.
    async fn get_download_url(
        &self,
        caller: &Caller,
        asked: GetDownloadUrlForLayer,
    ) -> Result<Value, EcrError> {
        let GetDownloadUrlForLayer { registry_id, repository_name: repository, layer_digest } = asked;
        self.allow(caller, "GetDownloadUrlForLayer", registry_id.as_deref(), &repository).await?;
        let found =
            self.0.store.blob(&repository, &layer_digest).map_err(|_| self.no_repository(&repository))?;
        if found.is_none() {
            let message = format!(
                "The layer with digest '{layer_digest}' does not exist in the repository with name '{repository}' in \
                 registry with id '{}'",
                self.0.upstream.account
            );
            return Err(EcrError::new("LayersNotFoundException", message));
        }
        let signature = signature(&repository, &layer_digest);
        let url = format!("{}{STORE}{repository}/{layer_digest}?X-Amz-Signature={signature}", self.0.origin);
        Ok(json!({ "downloadUrl": url, "layerDigest": layer_digest }))
    }

    /// Service Authorization Reference: it is about no repository.
    async fn get_authorization_token(
        &self,
        caller: &Caller,
        _: GetAuthorizationToken,
    ) -> Result<Value, EcrError> {
        self.0.guard.authorize(caller, "ecr:GetAuthorizationToken", "*", &Context::new()).await?;
        let (origin, password) = &self.0.registry;
        let expires = self.0.upstream.clock.now() + TOKEN_LIFE;
        Ok(json!({ "authorizationData": [{
            "authorizationToken": BASE64_STANDARD.encode(format!("AWS:{password}")),
            "expiresAt": expires.as_second(),
            "proxyEndpoint": origin,
        }] }))
    }

    async fn allow(
        &self,
        caller: &Caller,
        action: &str,
        registry: Option<&str>,
        repository: &str,
    ) -> Result<(), EcrError> {
        let Upstream { region, account, .. } = &self.0.upstream;
        if registry.is_some_and(|registry| registry != account) {
            return Err(EcrError::new(
                "UnsupportedFeatureException",
                "the local ECR has one account's registry",
            ));
        }
        let arn = format!("arn:aws:ecr:{region}:{account}:repository/{repository}");
        let context = Context::from([
            ("aws:ResourceAccount".to_owned(), vec![account.clone()]),
            ("aws:RequestedRegion".to_owned(), vec![region.clone()]),
        ]);
        Ok(self.0.guard.authorize(caller, &format!("ecr:{action}"), &arn, &context).await?)
    }

    fn no_repository(&self, name: &str) -> EcrError {
        let account = &self.0.upstream.account;
        let message =
            format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
        EcrError::new("RepositoryNotFoundException", message)
    }

    fn fetch(&self, place: &str, query: &str) -> Response<Bytes> {
        let found = place.rsplit_once('/').filter(|(repository, digest)| {
            query.strip_prefix("X-Amz-Signature=") == Some(&signature(repository, digest))
        });
        match found.and_then(|(repository, digest)| self.0.store.blob(repository, digest).ok().flatten()) {
            Some(content) => respond(StatusCode::OK, "application/octet-stream", content),
            None => respond(StatusCode::FORBIDDEN, "application/xml", Bytes::from_static(b"<Error/>")),
        }
    }
}

fn respond(status: StatusCode, kind: &str, body: Bytes) -> Response<Bytes> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind);
    response.body(body).expect("the headers are valid")
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, EcrError> {
    serde_json::from_slice(body).map_err(|error| {
        EcrError::new("SerializationException", format!("the local ECR does not take this request: {error}"))
    })
}

/// What opens a blob's URL at the store.
fn signature(repository: &str, layer: &str) -> String {
    digest(format!("{repository} {layer}").as_bytes()).replace(':', "")
}
