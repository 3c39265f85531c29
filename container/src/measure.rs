//! Finds out what of a job's outputs is there when its command has succeeded.

use std::io;
use std::slice;

use mayfly_model::class::Class;
use mayfly_model::job::Pattern;
use mayfly_model::message::{Assignment, Failure, FileSize};
use mayfly_model::shown::shown;

use crate::folder::Folder;

/// Source: S3 user guide, "Naming Amazon S3 objects"; S3 API Reference, "POST Object", form field `key`, for what S3 would put
/// another name in the place of.
const REPLACED: &str = "${filename}";

/// An output that is there.
#[derive(Debug)]
pub enum Output {
    /// One file.
    File(FileSize),
    /// The files of a folder, or those that a pattern names.
    Files {
        /// The output's name.
        output: String,
        /// How many bytes of the files' names are no part of their keys.
        below: usize,
        /// The files, at least one.
        files: Vec<FileSize>,
    },
}

impl Output {
    /// Its name, and its size in all.
    pub fn size(&self) -> FileSize {
        match self {
            Self::File(file) => file.clone(),
            Self::Files { output, files, .. } => {
                FileSize { file: output.clone(), bytes: files.iter().map(|file| file.bytes).sum() }
            }
        }
    }
}

/// The outputs of `assignment`, all of which must be there but for those that need not.
pub fn outputs(assignment: &Assignment, folder: &Folder) -> Result<Vec<Output>, Failure> {
    let measured = assignment.outputs.iter().filter_map(|name| {
        let is_optional = assignment.optional_outputs.contains(name);
        let measured = match Pattern::parse(name) {
            Some(pattern) => files(name, &pattern, folder),
            None => file(name, folder),
        };
        match measured {
            Err(error) if is_optional && error.kind() == io::ErrorKind::NotFound => None,
            measured => Some(measured.map_err(|error| unusable(name, &error, folder)).and_then(checked)),
        }
    });
    measured.collect()
}

fn file(name: &str, folder: &Folder) -> io::Result<Output> {
    let (_, bytes) = folder.open_file(name)?;
    Ok(Output::File(FileSize { file: name.to_owned(), bytes }))
}

fn files(name: &str, pattern: &Pattern<'_>, folder: &Folder) -> io::Result<Output> {
    let files = folder.files_of(pattern)?;
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such file"));
    }
    Ok(Output::Files { output: name.to_owned(), below: pattern.folder().len(), files })
}

/// Refuses a file that S3 would give another name.
fn checked(output: Output) -> Result<Output, Failure> {
    let files = match &output {
        Output::File(file) => slice::from_ref(file),
        Output::Files { files, .. } => files,
    };
    for FileSize { file, .. } in files {
        if file.contains(REPLACED) {
            let name = shown(file);
            let why = format!("S3 would put another name in the place of {REPLACED}; call it otherwise");
            return Err(upload_failure(format!("the output {name} cannot be uploaded: {why}")));
        }
    }
    Ok(output)
}

fn unusable(name: &str, error: &io::Error, folder: &Folder) -> Failure {
    let message = format!(
        "the command succeeded, but its output {} is not usable: {error}; the working folder holds {}",
        shown(name),
        folder.listing(),
    );
    upload_failure(message)
}

/// The failure of an upload.
pub fn upload_failure(message: String) -> Failure {
    Failure { class: Class::UploadFailed, message, output: None }
}

/// In tenths of S3's gigabytes of 2^30 bytes, rounded up.
pub fn gigabytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << 30);
    format!("{}.{} GB", tenths / 10, tenths % 10)
}
