//! What is in the buckets: objects, of which the size alone is kept, and uploads in parts that go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

/// All of it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Objects(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By id.
    uploads: BTreeMap<String, Upload>,
    /// The sizes, by place.
    objects: BTreeMap<String, u64>,
}

/// An upload in parts.
#[derive(Clone, Debug)]
pub struct Upload {
    /// `BUCKET/KEY`.
    pub place: String,
    /// When it was begun.
    pub initiated: Timestamp,
    parts: BTreeSet<u16>,
    /// How many parts are on their way.
    in_flight: usize,
    /// Whether it takes no new part any more.
    is_aborted: bool,
}

/// That there is no such upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchUpload;

impl Objects {
    /// An upload with this id begins.
    pub fn begin(&self, place: &str, id: &str, now: Timestamp) {
        let upload = Upload {
            place: place.to_owned(),
            initiated: now,
            parts: BTreeSet::new(),
            in_flight: 0,
            is_aborted: false,
        };
        self.lock().uploads.insert(id.to_owned(), upload);
    }

    /// A part is on its way, until it has landed or is given up.
    ///
    /// # Errors
    /// Where the upload takes no parts.
    pub fn part(&self, id: &str) -> Result<Flight, NoSuchUpload> {
        let mut state = self.lock();
        let upload = state.uploads.get_mut(id).filter(|upload| !upload.is_aborted).ok_or(NoSuchUpload)?;
        upload.in_flight += 1;
        Ok(Flight { objects: self.clone(), id: id.to_owned() })
    }

    /// Makes an object of `bytes` bytes of the upload's parts, which are numbered from 1.
    ///
    /// # Errors
    /// Where there is no such upload.
    ///
    /// # Panics
    /// Where a part is missing: a worker that asks for that has not counted.
    pub fn complete(&self, id: &str, parts: u16, bytes: u64) -> Result<(), NoSuchUpload> {
        let mut state = self.lock();
        let upload = state.uploads.get(id).filter(|upload| !upload.is_aborted).ok_or(NoSuchUpload)?;
        assert!(upload.parts.iter().copied().eq(1..=parts), "all parts of {} are there", upload.place);
        let upload = state.uploads.remove(id).ok_or(NoSuchUpload)?;
        state.objects.insert(upload.place, bytes);
        Ok(())
    }

    /// How large the object is at a place, if there is one.
    pub fn size(&self, place: &str) -> Option<u64> {
        self.lock().objects.get(place).copied()
    }

    /// Parts that are on their way arrive all the same, and the upload is there until it is aborted once more.
    /// Source: S3 API Reference, `AbortMultipartUpload`.
    ///
    /// # Errors
    /// Where there is no such upload.
    pub fn abort(&self, place: &str, id: &str) -> Result<(), NoSuchUpload> {
        let mut state = self.lock();
        let upload = state.uploads.get_mut(id).filter(|upload| upload.place == place).ok_or(NoSuchUpload)?;
        upload.is_aborted = true;
        upload.parts.clear();
        if upload.in_flight == 0 {
            state.uploads.remove(id);
        }
        Ok(())
    }

    /// The uploads that are there, by id.
    pub fn open(&self) -> BTreeMap<String, Upload> {
        self.lock().uploads.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread panics while it holds the objects")
    }
}

/// A part on its way.
#[derive(Debug)]
pub struct Flight {
    objects: Objects,
    id: String,
}

impl Flight {
    /// It has arrived.
    ///
    /// # Errors
    /// Where the upload is over.
    pub fn land(self, part: u16) -> Result<(), NoSuchUpload> {
        let mut state = self.objects.lock();
        state.uploads.get_mut(&self.id).ok_or(NoSuchUpload)?.parts.insert(part);
        Ok(())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.objects.lock();
        let Some(upload) = state.uploads.get_mut(&self.id) else { return };
        upload.in_flight -= 1;
        if upload.is_aborted && upload.in_flight == 0 && upload.parts.is_empty() {
            state.uploads.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_arrives_behind_an_abort_keeps_the_upload() {
        let objects = Objects::default();
        objects.begin("b/k", "u", Timestamp::UNIX_EPOCH);
        let (late, lost) = (objects.part("u").unwrap(), objects.part("u").unwrap());
        objects.abort("b/k", "u").unwrap();
        assert_eq!(objects.part("u").unwrap_err(), NoSuchUpload);
        late.land(1).unwrap();
        drop(lost);
        assert_eq!(objects.open().len(), 1);
        objects.abort("b/k", "u").unwrap();
        assert!(objects.open().is_empty());
        assert_eq!(objects.abort("b/k", "u"), Err(NoSuchUpload));
    }

    #[test]
    fn an_upload_becomes_an_object_once() {
        let objects = Objects::default();
        objects.begin("b/k", "u", Timestamp::UNIX_EPOCH);
        for part in 1..=2 {
            objects.part("u").unwrap().land(part).unwrap();
        }
        objects.complete("u", 2, 100).unwrap();
        assert_eq!((objects.size("b/k"), objects.complete("u", 2, 100)), (Some(100), Err(NoSuchUpload)));
    }
}
