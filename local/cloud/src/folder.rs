//! The folder of a local cloud: the tasks' files, and the tools' logs.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mayfly_common::tree;

/// A fresh folder among the temporary files, which is removed when it is dropped, whatever the tasks have left in it.
#[derive(Debug)]
pub struct CloudFolder(PathBuf);

impl CloudFolder {
    pub fn create() -> io::Result<Self> {
        // A worker that is root runs the command as somebody else, who must get through to its files.
        let passable = Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("mayfly-cloud-").permissions(passable).tempdir()?;
        Ok(Self(folder.keep()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for CloudFolder {
    fn drop(&mut self) {
        if let Err(error) = tree::remove(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the local cloud's folder could not be removed");
        }
    }
}
