//! Images that are pulled from their registries, without a container engine, and unpacked once for all local clouds.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use mayfly_images::{Credentials, Error, Found, Platform, Remote};
use nix::unistd::getuid;
use serde_json::Value;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;

use super::chore::{self, Chore};
use super::container::if_there;
use super::images::Image;
use super::layers;
use super::level::Level;
use crate::runtime::{NoImage, Wanted};

/// The images that have been pulled. Clones share one folder.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    /// By reference and processor.
    pulled: Arc<Mutex<BTreeMap<(String, &'static str), Image>>>,
}

impl Cache {
    /// A cache in this folder, which other local clouds may have too.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, pulled: Arc::default() }
    }

    /// An image that has been pulled.
    pub(super) fn find(&self, image: &str, architecture: &'static str) -> Option<Image> {
        self.pulled().get(&(image.to_owned(), architecture)).cloned()
    }

    /// Gets an image; of its layers those that are not there yet.
    pub(super) async fn pull(&self, wanted: &Wanted, init: &Path, level: Level) -> Result<(), NoImage> {
        let Wanted { image, architecture, .. } = wanted;
        let pulled = pull(&self.folder, init, level, wanted).await.map_err(|error| {
            tracing::info!(image, %error, "image could not be pulled");
            NoImage::from(error)
        })?;
        self.pulled().insert((image.clone(), architecture), pulled);
        Ok(())
    }

    fn pulled(&self) -> MutexGuard<'_, BTreeMap<(String, &'static str), Image>> {
        self.pulled.lock().expect("nobody panics while holding the images")
    }
}

impl From<PullError> for NoImage {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Registry(Error::NotFound { .. } | Error::Reference { .. }) => Self::NotFound,
            PullError::Registry(Error::Denied { .. }) => Self::Denied,
            PullError::Registry(Error::Limit { said, .. }) => {
                Self::Limited(said.trim_start_matches([',', ' ']).to_owned())
            }
            PullError::Registry(Error::NoSuchPlatform { .. }) => Self::OtherPlatform,
            PullError::Registry(Error::Connection { registry, .. }) => {
                Self::Unreachable(format!("dial tcp: {registry}: connect: no route to host"))
            }
            other => Self::Broken(other.to_string()),
        }
    }
}

async fn pull(cache: &Path, init: &Path, level: Level, wanted: &Wanted) -> Result<Image, PullError> {
    let credentials = match &wanted.credentials {
        None => Credentials::Anonymous,
        Some(known) => {
            Credentials::Password { user: known.username.clone(), password: known.password.clone() }
        }
    };
    let source = Remote::source(&wanted.image, credentials)?;
    let (os, architecture) = ("linux".to_owned(), wanted.architecture.to_owned());
    let platform = Platform { os, architecture, variant: None };
    let found = mayfly_images::find(&source, &platform).await?;
    let folder = cache.join(folder_name(&found.digest, level));
    if !folder.exists() {
        unpack(&source, &found, cache, &folder, init, level).await?;
    }
    Ok(image(&found.config, folder.join(TREE)))
}

/// Where an image's files are in its folder.
const TREE: &str = "tree";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    /// What the registry has to do with it.
    #[error(transparent)]
    Registry(#[from] Error),
    /// What this machine has.
    #[error("{0:#}")]
    Here(#[from] anyhow::Error),
}

/// Files have owners only where there is more than one user; and whose are root's depends on who has unpacked them.
fn folder_name(digest: &str, level: Level) -> String {
    let kind = if level == Level::Users { "users" } else { "one-user" };
    format!("{}-{kind}-{}", digest.replace(':', "-"), getuid())
}

/// A folder in the cache that is removed unless it gets another name.
struct Draft<'a> {
    folder: PathBuf,
    init: &'a Path,
}

impl<'a> Draft<'a> {
    fn create(cache: &Path, init: &'a Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(".draft-").tempdir_in(cache)?.keep();
        Ok(Self { folder, init })
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Err(error) = if_there(chore::remove(self.init, &self.folder)) {
            tracing::warn!(folder = %self.folder.display(), %error, "a draft of an image could not be removed");
        }
    }
}

/// At once, so that nobody finds a part of it: of two local clouds that unpack the same, the first has it.
async fn unpack(
    source: &Remote,
    found: &Found,
    cache: &Path,
    folder: &Path,
    init: &Path,
    level: Level,
) -> Result<(), PullError> {
    fs::create_dir_all(cache).await.context("cannot make the cache of images")?;
    let draft = Draft::create(cache, init).context("cannot unpack")?;
    let (file, root) = (draft.folder.join("layer"), draft.folder.join(TREE));
    fs::create_dir(&root).await.context("cannot unpack")?;
    for layer in &found.layers {
        let mut content = pin!(layer.read(source).await?);
        let mut written = fs::File::create(&file).await.context("cannot unpack")?;
        while let Some(part) = content.next().await {
            written.write_all(&part?).await.context("cannot keep a layer")?;
        }
        written.flush().await.context("cannot keep a layer")?;
        let (layer, media_type, root) = (file.clone(), layer.media_type.clone(), root.clone());
        let init = init.to_owned();
        let unpacked = spawn_blocking(move || {
            if level == Level::Users {
                return Chore::Unpack { layer, media_type, root }.delegate(&init);
            }
            let layer = std::fs::File::open(layer).context("cannot read a layer")?;
            layers::unpack(layer, &media_type, &root, false)
        });
        unpacked.await.context("cannot unpack")?.context("cannot unpack the image")?;
        fs::remove_file(&file).await.context("cannot remove a layer")?;
    }
    match fs::rename(&draft.folder, folder).await {
        Err(error) if folder.exists() => {
            tracing::debug!(%error, "another local cloud has unpacked the same");
            Ok(())
        }
        renamed => Ok(renamed.context("cannot keep the image")?),
    }
}

/// What a configuration says. Source: OCI image specification, config.md.
fn image(config: &Value, tree: PathBuf) -> Image {
    let config = &config["config"];
    let words = |name: &str| {
        let words = config[name].as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let variables = words("Env").into_iter().filter_map(|variable| {
        variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    });
    let working_dir = text("WorkingDir");
    Image {
        entrypoint: words("Entrypoint"),
        command: words("Cmd"),
        variables: variables.collect(),
        user: text("User"),
        working_dir: if working_dir.is_empty() { "/".into() } else { working_dir.into() },
        tree: Some(tree),
        files: Vec::new(),
    }
}
