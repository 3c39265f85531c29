//! What is said of folders: the objects of one that is an input, page by page, and the files of one that was an output.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::FileSize;

/// By which name the list of outputs is asked for in [`News::UrlsWanted`](super::News): none that a file in the working
/// directory has.
pub const OUTPUT_LIST: &str = "/";

/// How many files of folders a report names, and how long they are in JSON, in bytes: the outcome has to fit into the `Cause` of
/// a failed execution.
const LISTED_FILES: usize = 100;
const LISTED_BYTES: usize = 12 * 1024;

/// What S3 takes as it is in a path; the rest must be encoded, or S3 computes another signature, and reads + as a space.
/// Source: S3 API Reference, "Signature calculations for the Authorization header", `UriEncode()`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// `key` as it stands in the path of a signed URL.
pub fn encoded(key: &str) -> String {
    utf8_percent_encode(key, PATH).to_string()
}

/// Answer to [`News::PageWanted`](super::News): some of the objects below a prefix, in the order of S3, which is that of their
/// bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The start that asked.
    pub start: u32,
    /// The folder's name in the working directory.
    pub folder: String,
    /// After which name it begins; absent of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// A signed URL of the prefix, without its signature: what it is for each object but for the path and the signature.
    pub url: String,
    /// The objects.
    pub objects: Vec<Object>,
    /// Whether there are more after them.
    pub has_more: bool,
}

/// An object below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What its key has after the prefix.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its entity tag, in quotes as S3 has it.
    pub tag: String,
    /// What signs its URL.
    pub signature: String,
}

impl Page {
    /// The signed URL of the object `name` below the prefix of `url`, with its `signature`.
    pub fn url_of(url: &str, name: &str, signature: &str) -> String {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let name = utf8_percent_encode(name, PATH);
        format!("{path}{name}?{query}&X-Amz-Signature={signature}")
    }
}

/// What was uploaded of an output that is a folder or a pattern.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FolderSize {
    /// The output's name, as the job document has it.
    pub file: String,
    /// How many files.
    pub files: u64,
    /// How large they are together.
    pub bytes: u64,
    /// The first of them, as far as there is [`Room`]; by their names in the working directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<FileSize>,
}

impl FolderSize {
    /// Counts one more file, and names it where there is room.
    pub fn add(&mut self, file: FileSize, room: &mut Room) {
        self.files += 1;
        self.bytes += file.bytes;
        // The first ones, without gaps.
        if self.first.len() as u64 + 1 == self.files && room.takes(&file) {
            self.first.push(file);
        }
    }
}

/// How much room a report has for the names of files in folders, for all folders together.
#[derive(Debug)]
pub struct Room {
    files: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { files: LISTED_FILES, bytes: LISTED_BYTES }
    }
}

impl Room {
    /// Whether `file` still has room, which is its own from now on. After one that has none there is none for any.
    pub fn takes(&mut self, file: &FileSize) -> bool {
        let length = serde_json::to_string(file).map_or(usize::MAX, |json| json.len() + 1);
        let room = (self.files.checked_sub(1), self.bytes.checked_sub(length));
        let (files, bytes) = if let (Some(files), Some(bytes)) = room { (files, bytes) } else { (0, 0) };
        (self.files, self.bytes) = (files, bytes);
        matches!(room, (Some(_), Some(_)))
    }
}

/// A line of the list of all files that were uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The file's name in the working directory.
    pub file: String,
    /// Its object's key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// The object's entity tag, without its quotes; absent where S3 did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// What the ending of a key says that its object is, where it says that.
pub fn kind_of(key: &str) -> Option<&'static str> {
    let ending = key.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        // The library takes playlists and segments for what they were before HLS.
        // Source: RFC 8216, sections 4 and 10.
        Some("m3u8") => Some("application/vnd.apple.mpegurl"),
        Some("ts") => Some("video/mp2t"),
        _ => mime_guess::from_path(key).first_raw(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> FileSize {
        FileSize { file: name.to_owned(), bytes: 2 }
    }

    #[test]
    fn a_url_is_made_of_the_prefixes_by_name_and_signature() {
        let url = "https://b.s3.eu-central-1.amazonaws.com/in/?X-Amz-Date=1";
        assert_eq!(
            Page::url_of(url, "a b/ü+.png", "0f"),
            "https://b.s3.eu-central-1.amazonaws.com/in/a%20b/%C3%BC%2B.png?X-Amz-Date=1&X-Amz-Signature=0f"
        );
    }

    #[test]
    fn all_files_are_counted_and_the_first_hundred_named() {
        let (mut folder, mut room) = (FolderSize::default(), Room::default());
        for n in 0..150 {
            folder.add(file(&format!("a/{n}")), &mut room);
        }
        assert_eq!((folder.files, folder.bytes, folder.first.len()), (150, 300, LISTED_FILES));
        let mut other = FolderSize::default();
        other.add(file("b"), &mut room);
        assert_eq!((other.files, other.first.len()), (1, 0));
    }

    #[test]
    fn long_names_are_named_as_far_as_there_is_room() {
        let (mut folder, mut room) = (FolderSize::default(), Room::default());
        // In JSON each of these takes six bytes.
        let long = "\u{1}".repeat(1000);
        folder.add(file(&long), &mut room);
        folder.add(file(&"x".repeat(LISTED_BYTES)), &mut room);
        folder.add(file("short"), &mut room);
        assert_eq!((folder.files, folder.first), (3, vec![file(&long)]));
    }

    #[test]
    fn an_object_is_what_its_key_ends_with() {
        for (key, kind) in [
            ("s3://b/show/a.MP4", Some("video/mp4")),
            ("s3://b/a.m3u8", Some("application/vnd.apple.mpegurl")),
            ("s3://b/a.ts", Some("video/mp2t")),
            ("s3://b/a.json", Some("application/json")),
            ("s3://b/page.html", Some("text/html")),
            ("s3://b/a.nobody-knows", None),
            ("s3://b.mp4/a", None),
        ] {
            assert_eq!(kind_of(key), kind, "{key}");
        }
    }
}
