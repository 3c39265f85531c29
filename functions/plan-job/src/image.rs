//! What an image in the account's own registry says of itself, read before anything is created: whether it is there and runs
//! on the job's processor, what it runs, and as whom. Of what other registries have nothing is known here.

use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{Image as Answer, ImageIdentifier};
use mayfly_lambda::Http;
use mayfly_lambda::error::Error;
use mayfly_model::job::Architecture;
use mayfly_model::shown::shown;
use serde::Deserialize;

/// The kinds of manifests that Fargate runs, and of their indexes.
/// Source: ECR user guide, "Container image manifest format support in Amazon ECR".
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What an image runs where nothing else is said, and as whom.
/// Source: OCI image specification, "Image Configuration".
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Image {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
}

impl Image {
    /// Its `ENTRYPOINT` and `CMD`.
    pub fn command(&self) -> Vec<String> {
        [self.entrypoint.clone().unwrap_or_default(), self.cmd.clone().unwrap_or_default()].concat()
    }

    /// Its `USER`, where it has one.
    pub fn user(&self) -> Option<String> {
        self.user.clone().filter(|user| !user.is_empty())
    }
}

/// The platform of an entry of an index, or of a configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Debug, Deserialize)]
struct Entry {
    digest: String,
    #[serde(default)]
    platform: Platform,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    manifests: Vec<Entry>,
    config: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
}

#[derive(Debug, Deserialize)]
struct Configuration {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Image,
}

/// Reads the image called `reference`; none where it is not in the registry with the host `registry`.
///
/// # Errors
/// `InvalidJob` where the registry has no such image, or none for this processor.
pub async fn read(
    ecr: &Client,
    http: &Http,
    registry: &str,
    reference: &str,
    architecture: Architecture,
) -> Result<Option<Image>, Error> {
    let Some((repository, id)) = own(reference, registry) else { return Ok(None) };
    let registry = Registry { ecr, http, repository, reference };
    let mut manifest = registry.manifest(id).await?;
    if !manifest.manifests.is_empty() {
        let fits = |entry: &&Entry| runs_on(&entry.platform, architecture);
        let Some(entry) = manifest.manifests.iter().find(fits) else {
            let platforms = manifest.manifests.iter().map(|entry| &entry.platform);
            return Err(registry.other_platform(architecture, platforms));
        };
        manifest = registry.manifest(ImageIdentifier::builder().image_digest(&entry.digest).build()).await?;
    }
    let Configuration { platform, config } = registry.configuration(&manifest).await?;
    if runs_on(&platform, architecture) {
        return Ok(Some(config));
    }
    Err(registry.other_platform(architecture, [&platform].into_iter()))
}

/// The repository and the tag or digest of an image in the registry with the host `registry`, by either of its names.
/// Source: ECR user guide, "Getting started with making requests over IPv6", dual-stack endpoints.
fn own<'a>(reference: &'a str, registry: &str) -> Option<(&'a str, ImageIdentifier)> {
    let (host, rest) = reference.split_once('/')?;
    let dual_stack = registry.replacen(".dkr.ecr.", ".dkr-ecr.", 1).replacen(".amazonaws.com", ".on.aws", 1);
    if host != registry && host != dual_stack {
        return None;
    }
    let id = ImageIdentifier::builder();
    Some(match (rest.split_once('@'), rest.split_once(':')) {
        // A tag before a digest says nothing.
        (Some((name, digest)), _) => {
            (name.split(':').next().unwrap_or(name), id.image_digest(digest).build())
        }
        (None, Some((name, tag))) => (name, id.image_tag(tag).build()),
        (None, None) => (rest, id.image_tag("latest").build()),
    })
}

fn runs_on(platform: &Platform, architecture: Architecture) -> bool {
    platform.os == "linux" && platform.architecture == name(architecture)
}

/// What images call a processor.
/// Source: OCI image specification, "Image Index", `platform`, with Go's names.
fn name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Arm64 => "arm64",
    }
}

/// A repository of the account's, and the image of it that was asked for.
struct Registry<'a> {
    ecr: &'a Client,
    http: &'a Http,
    repository: &'a str,
    reference: &'a str,
}

impl Registry<'_> {
    async fn manifest(&self, id: ImageIdentifier) -> Result<Manifest, Error> {
        const DOING: &str = "read the image's manifest";
        let kinds = MANIFESTS.map(str::to_owned).into();
        let call = self.ecr.batch_get_image().repository_name(self.repository).image_ids(id);
        let answer = match call.set_accepted_media_types(Some(kinds)).send().await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_repository_not_found_exception()) =>
            {
                return Err(self.missing());
            }
            answer => answer.map_err(Error::aws(DOING))?,
        };
        let manifest =
            answer.images().first().and_then(Answer::image_manifest).ok_or_else(|| self.missing())?;
        serde_json::from_str(manifest).map_err(|error| Error::internal(DOING, error))
    }

    async fn configuration(&self, manifest: &Manifest) -> Result<Configuration, Error> {
        const DOING: &str = "read the image's configuration";
        let config = manifest.config.as_ref().ok_or_else(|| {
            self.invalid("an image whose manifest has no configuration; allowed: an image for containers")
        })?;
        let call = self.ecr.get_download_url_for_layer().repository_name(self.repository);
        let answer = call.layer_digest(&config.digest).send().await.map_err(Error::aws(DOING))?;
        let url = answer.download_url().unwrap_or_default();
        let content = self.http.get(url).await.map_err(|why| Error::unavailable(DOING, why))?;
        serde_json::from_slice(&content).map_err(|error| Error::internal(DOING, error))
    }

    fn missing(&self) -> Error {
        self.invalid("an image that the account's registry does not have; allowed: one that was pushed")
    }

    fn other_platform<'a>(&self, wanted: Architecture, offered: impl Iterator<Item = &'a Platform>) -> Error {
        // The attestations beside the images are for unknown/unknown.
        let offered = offered.filter(|platform| platform.os != "unknown");
        let offered: Vec<_> = offered
            .map(|platform| format!("{}/{}", shown(&platform.os), shown(&platform.architecture)))
            .collect();
        let wanted = name(wanted);
        self.invalid(&format!(
            "an image for {}; allowed: one for linux/{wanted}, or another container.architecture",
            offered.join(", ")
        ))
    }

    fn invalid(&self, why: &str) -> Error {
        Error::InvalidJob(format!("container.image: given {}, {why}", shown(self.reference)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";

    #[test]
    fn only_the_accounts_own_images_are_read_by_tag_or_digest() {
        let found = |reference: &str| {
            let (repository, id) = own(reference, REGISTRY)?;
            Some((repository.to_owned(), id.image_tag, id.image_digest))
        };
        let tag = |name: &str, tag: &str| Some((name.to_owned(), Some(tag.to_owned()), None));
        let digest = |name: &str| Some((name.to_owned(), None, Some("sha256:00".to_owned())));
        assert_eq!(found(&format!("{REGISTRY}/team/tool")), tag("team/tool", "latest"));
        assert_eq!(found(&format!("{REGISTRY}/team/tool:2")), tag("team/tool", "2"));
        assert_eq!(found(&format!("{REGISTRY}/tool@sha256:00")), digest("tool"));
        assert_eq!(found(&format!("{REGISTRY}/tool:2@sha256:00")), digest("tool"));
        assert_eq!(found("123456789012.dkr-ecr.eu-central-1.on.aws/tool:2"), tag("tool", "2"));
        for other in ["alpine", "docker.io/library/alpine:3", "1.dkr.ecr.eu-central-1.amazonaws.com/tool"] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn a_configuration_says_what_an_image_runs_and_as_whom() {
        let text = r#"{"architecture": "arm64", "os": "linux", "config": {"Entrypoint": ["/tool"], "Cmd": ["-h"], "User": "app"}}"#;
        let configuration: Configuration = serde_json::from_str(text).unwrap();
        assert!(runs_on(&configuration.platform, Architecture::Arm64));
        assert!(!runs_on(&configuration.platform, Architecture::X86_64));
        assert_eq!(configuration.config.command(), ["/tool", "-h"]);
        assert_eq!(configuration.config.user(), Some("app".to_owned()));
        let bare: Configuration =
            serde_json::from_str(r#"{"config": {"Entrypoint": null, "User": ""}}"#).unwrap();
        assert_eq!((bare.config.command(), bare.config.user()), (Vec::new(), None));
    }
}
