//! Reads what an image is for one platform.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use oci_client::RegistryOperation;
use oci_client::manifest::{OciImageManifest, OciManifest};
use serde_json::Value;

use crate::copy::{all_offered, no_image, parsed};
use crate::error::Error;
use crate::platform::Platform;
use crate::remote::Remote;

/// An image for one platform, as its registry has it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The digest of its manifest.
    pub digest: String,
    /// Its configuration.
    /// Source: OCI image specification, config.md.
    pub config: Value,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// An archive of files, of which an image has several.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its digest as it is compressed.
    pub digest: String,
    /// How it is compressed.
    /// Source: OCI image specification, layer.md.
    pub media_type: String,
}

/// Finds the image `source` for `platform`. An image that is for one platform alone is found whatever that is, as a container
/// engine does.
pub async fn find(source: &Remote, platform: &Platform) -> Result<Found, Error> {
    source.sign_in(RegistryOperation::Pull).await?;
    let (mut content, mut digest) = source.manifest(None).await?;
    if let OciManifest::ImageIndex(index) = parsed(source, &content)? {
        let offered: Vec<_> = index.manifests.iter().filter_map(Platform::of_entry).collect();
        all_offered(source, std::slice::from_ref(platform), &offered)?;
        let mut entries = index.manifests.iter();
        let entry =
            entries.find(|entry| Platform::of_entry(entry).is_some_and(|offered| platform.means(&offered)));
        let entry = entry.ok_or_else(|| no_image(source))?;
        (content, digest) = source.manifest(Some(&entry.digest)).await?;
    }
    let OciManifest::Image(OciImageManifest { config, layers, .. }) = parsed(source, &content)? else {
        return Err(no_image(source));
    };
    let config = source.small_blob(&config.digest).await?;
    let config = serde_json::from_slice(&config).map_err(|_| no_image(source))?;
    let layers = layers.into_iter().map(|layer| Layer { digest: layer.digest, media_type: layer.media_type });
    Ok(Found { digest, config, layers: layers.collect() })
}

impl Layer {
    /// Its content, as it is compressed, which fails at its end if it is not what the digest says.
    pub async fn read(
        &self,
        source: &Remote,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static, Error> {
        let reference = source.reference().clone();
        let content = source.blob(&self.digest).await?;
        Ok(content.map_err(move |error: io::Error| Error::broken(&reference, error)))
    }
}
