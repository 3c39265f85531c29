//! A strict stand-in for registries of images, on the wire of the OCI distribution specification: a private one as ECR is,
//! with what it makes of that specification, and a public one as Docker Hub is, which is only read.
//!
//! For just the calls that are made here: what is not served is refused by name. Blobs are files of a folder, and pass
//! through memory in parts.

mod access;
mod blobs;
mod ecr;
mod error;
mod limits;
mod manifests;
mod server;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::{fs, io};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::access::Token;
use crate::manifests::Manifest;
use crate::uploads::Upload;

pub use crate::ecr::{Ecr, EcrConfig, NoRepository, Store};
pub use crate::error::ApiError;
pub use crate::server::Server;

/// Whose registry it is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The private one that each account has in ECR.
    Account {
        /// The account's number.
        account: String,
        /// What GetAuthorizationToken gives out for the user `AWS`.
        password: String,
    },
    /// A public one with tokens for everybody.
    Public {
        /// The one user who has an account there.
        user: String,
        /// That user's password.
        password: String,
        /// How many manifests anybody may pull who has no account.
        pulls: u32,
    },
}

/// What a registry works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose it is.
    pub kind: Kind,
    /// A folder of its own for what it stores.
    pub folder: PathBuf,
}

/// A registry. Clones share one state.
#[derive(Clone, Debug)]
pub struct Registry {
    kind: Kind,
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, Upload>,
    tokens: BTreeMap<String, Token>,
    /// How many pulls without an account there were.
    pulls: u32,
    /// How many uploads and tokens there were, which gives the next its name.
    named: u64,
}

#[derive(Debug, Default)]
struct Repository {
    /// Nobody reads it without an account.
    is_private: bool,
    /// Digests of what is in the folder.
    blobs: BTreeSet<String>,
    /// By digest.
    manifests: BTreeMap<String, Manifest>,
    /// Digests by tag.
    tags: BTreeMap<String, String>,
}

impl Registry {
    /// A registry that has nothing yet.
    pub fn new(config: Config) -> Self {
        let Config { kind, folder } = config;
        Self { kind, folder, state: Arc::default() }
    }

    /// Makes a repository. No push makes one, as in ECR. Source: github.com/regclient/regclient/issues/869.
    pub fn create(&self, name: &str) {
        self.state().repositories.entry(name.to_owned()).or_default();
    }

    /// Makes a repository that wants an account.
    pub fn create_private(&self, name: &str) {
        self.state().repositories.entry(name.to_owned()).or_default().is_private = true;
    }

    /// Puts a blob into a repository, past the wire: the public registry is not written on it. Returns its digest.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn store_blob(&self, repository: &str, content: &[u8]) -> io::Result<String> {
        let digest = digest(content);
        fs::write(self.file(&digest), content)?;
        let mut state = self.state();
        state.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest.clone());
        Ok(digest)
    }

    /// The same of a manifest, under a tag or under its digest alone.
    pub fn store_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        content: impl Into<Bytes>,
    ) -> String {
        let manifest = Manifest { media_type: media_type.to_owned(), content: content.into() };
        self.state().repositories.entry(repository.to_owned()).or_default().put(tag, manifest)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Where the blob with `digest` is.
    fn file(&self, digest: &str) -> PathBuf {
        self.folder.join(digest.replace(':', "-"))
    }
}

impl State {
    fn new_name(&mut self) -> String {
        self.named += 1;
        format!("{:08x}", self.named)
    }
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}
