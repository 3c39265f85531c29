//! What objects are made of: files, of which the blocks of zeros are holes.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// What is written or left out at once. File systems have blocks of 4 KiB and more.
const BLOCK: usize = 64 * 1024;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What is read at once.
const READ: usize = 1024 * 1024;

/// A whole file, which goes when nobody needs it any more.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    pub length: u64,
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a body could not be deleted");
        }
    }
}

/// A file that is being written, from its beginning to its end.
#[derive(Debug)]
pub struct Writing {
    file: File,
    segment: Segment,
}

impl Writing {
    pub fn new(path: PathBuf) -> io::Result<Self> {
        let file = File::create_new(&path)?;
        Ok(Self { file, segment: Segment { path, length: 0 } })
    }

    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let at = self.segment.length;
            // Up to the end of the block, so that a block whose bytes come in several pieces is a hole as well.
            let left = BLOCK - usize::try_from(at % BLOCK as u64).unwrap_or_default();
            let (piece, rest) = bytes.split_at(left.min(bytes.len()));
            if piece != &ZEROS[..piece.len()] {
                self.file.write_all_at(piece, at)?;
            }
            self.segment.length += piece.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<Arc<Segment>> {
        // What ends with a hole is as long as it is.
        self.file.set_len(self.segment.length)?;
        Ok(Arc::new(self.segment))
    }
}

/// Files one after the other. Clones share them.
#[derive(Clone, Debug)]
pub struct Content {
    segments: Arc<[Arc<Segment>]>,
    pub length: u64,
}

impl Content {
    pub fn new(segments: Vec<Arc<Segment>>) -> Self {
        let length = segments.iter().map(|segment| segment.length).sum();
        Self { segments: segments.into(), length }
    }

    /// The bytes of a range, which lies within the content.
    pub fn read(&self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let mut begin = 0;
        let mut parts = Vec::new();
        for segment in self.segments.iter() {
            let end = begin + segment.length;
            let (from, to) = (range.start.max(begin), range.end.min(end));
            if from < to {
                parts.push((Arc::clone(segment), from - begin, to - from));
            }
            begin = end;
        }
        let open = |(segment, from, length): (Arc<Segment>, u64, u64)| async move {
            let mut file = tokio::fs::File::open(&segment.path).await?;
            file.seek(io::SeekFrom::Start(from)).await?;
            // The file stays for as long as it is read.
            let pieces = ReaderStream::with_capacity(file.take(length), READ).map(move |piece| {
                let _ = &segment;
                piece
            });
            Ok::<_, io::Error>(pieces)
        };
        stream::iter(parts).then(open).try_flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn segment(folder: &tempfile::TempDir, name: &str, pieces: &[&[u8]]) -> Arc<Segment> {
        let mut writing = Writing::new(folder.path().join(name)).expect("a file");
        for piece in pieces {
            writing.write(piece).expect("written");
        }
        writing.finish().expect("finished")
    }

    async fn read(content: &Content, range: Range<u64>) -> Vec<u8> {
        let pieces: Vec<Bytes> = content.read(range).try_collect().await.expect("it can be read");
        pieces.concat()
    }

    #[tokio::test]
    async fn a_range_is_read_across_files_that_go_with_the_last_who_needs_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let content = Content::new(vec![
            segment(&folder, "1", &[b"abc", b"def"]),
            segment(&folder, "2", &[]),
            segment(&folder, "3", &[b"ghi"]),
        ]);
        assert_eq!(content.length, 9);
        for (range, bytes) in [(0..9, "abcdefghi"), (2..7, "cdefg"), (6..9, "ghi"), (4..4, "")] {
            assert_eq!(read(&content, range).await, bytes.as_bytes());
        }
        let reading = content.read(0..9);
        drop(content);
        let pieces: Vec<Bytes> = reading.try_collect().await.expect("it can still be read");
        assert_eq!(pieces.concat(), b"abcdefghi");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn zeros_take_no_room_however_they_come() {
        let folder = tempfile::tempdir().expect("a folder");
        let zeros = vec![0; 3 * BLOCK + 7];
        let whole = segment(&folder, "1", &[&zeros[..1000], &zeros, b"x", &zeros[..BLOCK]]);
        let on_disk = fs::metadata(&whole.path).expect("a file");
        let length = (1000 + zeros.len() + 1 + BLOCK) as u64;
        assert_eq!((whole.length, on_disk.len()), (length, length));
        assert!(on_disk.blocks() * 512 <= BLOCK as u64, "{} blocks", on_disk.blocks());
        let content = Content::new(vec![whole]);
        let bytes = read(&content, 0..length).await;
        assert_eq!(bytes.iter().position(|byte| *byte != 0), Some(1000 + zeros.len()));
    }
}
