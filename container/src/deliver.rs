//! Uploads the files of an output that is a folder or a pattern, several at a time, all by one form, but for those that are too
//! large for one request.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use mayfly_model::message::{FileSize, Listed, POST_LIMIT, Upload, kind_of};
use mayfly_model::shown::shown;
use tokio::sync::Mutex;

use crate::folder::Folder;
use crate::http::{Http, Tries, Trouble};
use crate::parts::Course;
use crate::upload;
use crate::urls::UrlDesk;

/// How many files are on their way at a time.
const SIDE_BY_SIDE: usize = 16;

/// What S3 makes of an object whose type nobody says.
/// Source: S3 API Reference, `PutObject`, `Content-Type`.
const UNKNOWN_KIND: &str = "binary/octet-stream";

/// A folder's files on their way to S3.
pub struct Delivery<'a, T, P> {
    /// The clients.
    pub http: &'a Http,
    /// The working folder.
    pub folder: &'a Folder,
    /// Whom to ask for a fresh form, one at a time.
    pub desk: Mutex<&'a mut UrlDesk>,
    /// The output, with what its files have together, as it is asked for.
    pub output: FileSize,
    /// How much of the files' names is no part of their keys.
    pub below: usize,
    /// The form for all files, whose `key` is what their keys begin with; with how many there were before it.
    pub form: RefCell<(u32, Arc<Upload>)>,
    /// The tries of a transfer that begins now.
    pub tries: T,
    /// Is told the file and the bytes of all that are on their way.
    pub progress: P,
}

impl<T, P> Delivery<'_, T, P>
where
    T: Fn() -> Tries,
    P: Fn(&str, u64) + Clone + Send + Sync + 'static,
{
    /// Uploads all `files`, and tells `delivered` of each that is in its place. When one cannot be uploaded, no other is begun.
    ///
    /// # Errors
    /// The first file that could not be uploaded, and why.
    pub async fn deliver(
        &self,
        files: &[FileSize],
        mut delivered: impl FnMut(Listed),
    ) -> Result<(), (String, Trouble)> {
        let (sent, has_failed) = (&Arc::new(AtomicU64::new(0)), Cell::new(false));
        let upload = |file| async move {
            let uploaded = self.upload(file, sent.clone()).await;
            uploaded.map_err(|why| (file.file.clone(), why))
        };
        let mut uploads = stream::iter(files)
            .take_while(|_| ready(!has_failed.get()))
            .map(upload)
            .buffer_unordered(SIDE_BY_SIDE);
        let mut outcome = Ok(());
        while let Some(uploaded) = uploads.next().await {
            match uploaded {
                Ok(listed) => delivered(listed),
                Err(failed) => {
                    has_failed.set(true);
                    outcome = outcome.and(Err(failed));
                }
            }
        }
        outcome
    }

    async fn upload(&self, file: &FileSize, sent: Arc<AtomicU64>) -> Result<Listed, Trouble> {
        let opened = Cell::new(0);
        let open = || {
            opened.set(opened.get() + 1);
            self.folder.open_file(&file.file).map(|(file, _)| file)
        };
        let (progress, name, counted) =
            (self.progress.clone(), file.file.clone(), Arc::new(AtomicU64::new(0)));
        let progress = move |now: u64| {
            let before = counted.swap(now, Ordering::Relaxed);
            // A try that begins again takes back what the last one has counted.
            let all = sent
                .fetch_add(now.wrapping_sub(before), Ordering::Relaxed)
                .wrapping_add(now.wrapping_sub(before));
            progress(&name, all);
        };
        if file.bytes > POST_LIMIT {
            return self.upload_in_parts(file, progress).await;
        }
        let mut was_refused = false;
        loop {
            opened.set(0);
            let (number, form) = self.form.borrow().clone();
            let form = self.form_of(&form, &file.file);
            let key = form.fields.get("key").cloned().unwrap_or_default();
            match upload::post(self.http, &form, open, file.bytes, (self.tries)(), progress.clone()).await {
                Ok(etag) => return Ok(Listed { file: file.file.clone(), key, bytes: file.bytes, etag }),
                // As of an output that is one file.
                Err(Trouble::Expired(_)) if !was_refused || opened.get() > 1 => {}
                Err(Trouble::Transient(_)) if !was_refused => {}
                Err(trouble) => return Err(trouble),
            }
            was_refused = true;
            self.renew(number).await?;
        }
    }

    /// Whose parts are enough to be on their way at a time; a fresh form has to wait for it.
    async fn upload_in_parts(&self, file: &FileSize, progress: impl Fn(u64)) -> Result<Listed, Trouble> {
        let form = self.form_of(&self.form.borrow().1, &file.file);
        let key = form.fields.get("key").cloned().unwrap_or_default();
        let mut desk = self.desk.lock().await;
        let mut course = Course {
            http: self.http,
            desk: &mut desk,
            file,
            output: Some(&self.output.file),
            open: || self.folder.open_file(&file.file).map(|(file, _)| file),
            tries: &self.tries,
            progress,
        };
        let etag = Box::pin(course.upload()).await?;
        Ok(Listed { file: file.file.clone(), key, bytes: file.bytes, etag })
    }

    /// The form for one file.
    fn form_of(&self, form: &Upload, file: &str) -> Upload {
        let mut form = form.clone();
        let name = file.get(self.below..).unwrap_or_default();
        if let Some(key) = form.fields.get_mut("key") {
            key.push_str(name);
        }
        let kind = || kind_of(name).unwrap_or(UNKNOWN_KIND).to_owned();
        form.fields.entry("Content-Type".to_owned()).or_insert_with(kind);
        form
    }

    /// Sees that there is a form after the one with this number.
    async fn renew(&self, number: u32) -> Result<(), Trouble> {
        let mut desk = self.desk.lock().await;
        if self.form.borrow().0 != number {
            return Ok(());
        }
        tracing::info!(output = shown(&self.output.file), "upload refused, asking for a fresh signature");
        let fresh = desk.uploads(std::slice::from_ref(&self.output)).await.and_then(|mut fresh| fresh.pop());
        let fresh = fresh.ok_or_else(|| Trouble::Definite("no fresh URL came".to_owned()))?;
        *self.form.borrow_mut() = (number + 1, Arc::new(fresh));
        Ok(())
    }
}
