//! Copies an image from one registry to another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use oci_client::RegistryOperation;
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest,
};
use serde_json::Value;

use crate::digest::digest;
use crate::error::Error;
use crate::platform::Platform;
use crate::remote::Remote;

/// How many blobs are under way at once.
const AT_ONCE: usize = 4;

/// Which of an image's platforms are copied.
#[derive(Clone, Debug)]
pub enum Platforms {
    /// All, with whatever else its index names: the copy has the image's digest.
    All,
    /// These alone, each of which it must have.
    Only(Vec<Platform>),
}

/// A blob that the target has now.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    /// Its digest.
    pub digest: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Whether the target had it already.
    pub was_there: bool,
}

/// What an image consists of.
#[derive(Default)]
struct Image {
    /// Indexes come before what they name.
    manifests: Vec<Manifest>,
    /// Sizes by digest.
    blobs: BTreeMap<String, u64>,
}

struct Manifest {
    digest: String,
    media_type: String,
    content: Bytes,
}

/// Copies the image `source` to `target`, blob by blob, none of which is ever in memory as a whole, and says of each when
/// it is there. What the target has is not sent again, so a copy that has failed goes on where it was. Returns the copy's
/// digest.
pub async fn copy(
    source: &Remote,
    target: &Remote,
    platforms: &Platforms,
    told: impl Fn(Blob<'_>),
) -> Result<String, Error> {
    source.sign_in(RegistryOperation::Pull).await?;
    target.sign_in(RegistryOperation::Push).await?;
    let Image { manifests, blobs } = Image::read(source, platforms).await?;
    let transfers = stream::iter(&blobs).map(Ok).try_for_each_concurrent(AT_ONCE, async |(digest, size)| {
        let was_there = transfer(source, target, digest, *size).await?;
        told(Blob { digest, size: *size, was_there });
        Ok(())
    });
    transfers.await?;
    // A registry takes a manifest when it has all that it names, and a tag comes last.
    let mut copied = String::new();
    for (place, Manifest { digest, media_type, content }) in manifests.into_iter().enumerate().rev() {
        let name = (place > 0).then_some(digest.as_str());
        target.push_manifest(name, &media_type, content).await?;
        copied = digest;
    }
    Ok(copied)
}

impl Image {
    async fn read(source: &Remote, platforms: &Platforms) -> Result<Self, Error> {
        let mut image = Self::default();
        let (content, digest) = source.manifest(None).await?;
        let first = Manifest { digest, media_type: String::new(), content };
        let mut open = image.add(source, chosen(source, first, platforms).await?)?;
        let mut seen: BTreeSet<_> = open.iter().cloned().collect();
        while let Some(digest) = open.pop_front() {
            let (content, _) = source.manifest(Some(&digest)).await?;
            let named = image.add(source, Manifest { digest, media_type: String::new(), content })?;
            open.extend(named.into_iter().filter(|digest| seen.insert(digest.clone())));
        }
        Ok(image)
    }

    /// Adds a manifest, and returns the digests of those that it names.
    fn add(&mut self, source: &Remote, mut manifest: Manifest) -> Result<VecDeque<String>, Error> {
        let (kind, named) = match parsed(source, &manifest.content)? {
            OciManifest::ImageIndex(index) => {
                let digests = index.manifests.into_iter().map(|entry| entry.digest);
                (index.media_type.unwrap_or_else(|| OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()), digests.collect())
            }
            OciManifest::Image(OciImageManifest { media_type, config, layers, .. }) => {
                for OciDescriptor { digest, size, .. } in layers.into_iter().chain([config]) {
                    let size = u64::try_from(size).map_err(|_| no_image(source))?;
                    self.blobs.insert(digest, size);
                }
                (media_type.unwrap_or_else(|| OCI_IMAGE_MEDIA_TYPE.to_owned()), VecDeque::new())
            }
        };
        manifest.media_type = kind;
        self.manifests.push(manifest);
        Ok(named)
    }
}

/// The image's own manifest, where it is an index without what is for none of the platforms.
async fn chosen(source: &Remote, manifest: Manifest, platforms: &Platforms) -> Result<Manifest, Error> {
    let Platforms::Only(wanted) = platforms else { return Ok(manifest) };
    match parsed(source, &manifest.content)? {
        OciManifest::Image(image) => {
            let config = source.small_blob(&image.config.digest).await?;
            let config: Value = serde_json::from_slice(&config).map_err(|_| no_image(source))?;
            all_offered(source, wanted, &Vec::from_iter(Platform::of_config(&config)))?;
            Ok(manifest)
        }
        OciManifest::ImageIndex(index) => {
            let offered: Vec<_> = index.manifests.iter().map(Platform::of_entry).collect();
            all_offered(source, wanted, &offered.iter().flatten().cloned().collect::<Vec<_>>())?;
            let mut is_wanted = offered.iter().map(|offered| {
                offered.as_ref().is_some_and(|offered| wanted.iter().any(|wanted| wanted.means(offered)))
            });
            let mut index: Value = serde_json::from_slice(&manifest.content).map_err(|_| no_image(source))?;
            let entries = index["manifests"].as_array_mut().ok_or_else(|| no_image(source))?;
            let all = entries.len();
            entries.retain(|_| is_wanted.next() == Some(true));
            if entries.len() == all {
                return Ok(manifest);
            }
            let content = Bytes::from(index.to_string());
            Ok(Manifest { digest: digest(&content), content, ..manifest })
        }
    }
}

pub(crate) fn all_offered(source: &Remote, wanted: &[Platform], offered: &[Platform]) -> Result<(), Error> {
    let missing: Vec<_> =
        wanted.iter().filter(|wanted| !offered.iter().any(|offered| wanted.means(offered))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = |platforms: &mut dyn Iterator<Item = &Platform>| {
        let names: Vec<_> = platforms.map(ToString::to_string).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    // The attestations beside the images are for unknown/unknown.
    let mut known = offered.iter().filter(|offered| offered.os != "unknown");
    Err(Error::NoSuchPlatform {
        image: source.name(),
        wanted: list(&mut missing.into_iter()),
        offered: list(&mut known),
    })
}

pub(crate) fn parsed(source: &Remote, content: &[u8]) -> Result<OciManifest, Error> {
    serde_json::from_slice(content).map_err(|_| no_image(source))
}

pub(crate) fn no_image(source: &Remote) -> Error {
    Error::NoImage { image: source.name() }
}

/// Sees that the target has a blob of the source's, and says whether it had it already.
async fn transfer(source: &Remote, target: &Remote, digest: &str, size: u64) -> Result<bool, Error> {
    if target.has_blob(digest).await? {
        return Ok(true);
    }
    // Whatever ends the source's part ends the target's too, which would be told as the target's fault.
    let broken = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&broken);
    let content = held_back(source.blob(digest).await?).map_err(move |error| {
        *kept.lock().expect("nobody panics with it") = Some(error);
        OciDistributionError::IoError(io::ErrorKind::ConnectionAborted.into())
    });
    let pushed = target.push_blob(digest, size, content).await;
    let broken = broken.lock().expect("nobody panics with it").take();
    match broken {
        Some(error) => Err(Error::broken(source.reference(), error)),
        None => pushed.map(|()| false),
    }
}

/// `content` with each part only when the next is there, or the end. Its end is where damage shows, and whoever sends it does
/// not look that far: with the last part the blob is complete.
fn held_back(
    content: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((Box::pin(content), None), async |(mut content, mut held)| {
        while let Some(next) = content.try_next().await? {
            if let Some(part) = held.replace(next) {
                return Ok(Some((part, (content, held))));
            }
        }
        Ok(held.map(|last| (last, (content, None))))
    })
}
