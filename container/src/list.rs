//! The list of all files that were uploaded, JSON Lines on the disk, until it is uploaded itself.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use mayfly_model::message::Listed;

/// A list that grows.
#[derive(Debug)]
pub struct OutputList {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    /// Why not all of it is there.
    error: Option<io::Error>,
}

impl OutputList {
    /// Makes an empty one at `path`, where nothing may be.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = BufWriter::new(File::create_new(&path)?);
        Ok(Self { path, file, bytes: 0, error: None })
    }

    /// Adds a file.
    pub fn add(&mut self, listed: &Listed) {
        let line = format!("{}\n", serde_json::json!(listed));
        self.bytes += line.len() as u64;
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.error.get_or_insert(error);
        }
    }

    /// Sees that all is on the disk, and tells its size in bytes.
    ///
    /// # Errors
    /// Where it is not.
    pub fn finish(&mut self) -> io::Result<u64> {
        self.error.take().map_or_else(|| self.file.flush(), Err)?;
        Ok(self.bytes)
    }

    /// Opens it to be read.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}
