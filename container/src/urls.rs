//! Asks for fresh signed URLs and waits for the answer in the mailbox.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use backon::ExponentialBuilder;
use mayfly_model::message::{FileSize, News, Order, Page, SignedUrls, Upload};
use mayfly_model::parts::{PartsWanted, SignedParts};
use tokio::select;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{interval, timeout};

use crate::done::Reporter;

/// How the worker deals with a world that does not answer at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two questions for the same URLs.
    pub ask_again: Duration,
    /// From the first question until there will be no answer.
    pub give_up: Duration,
    /// Between the tries of a transfer.
    pub backoff: ExponentialBuilder,
}

impl Default for Pace {
    fn default() -> Self {
        let backoff =
            ExponentialBuilder::new().with_max_delay(Duration::from_secs(30)).with_max_times(6).with_jitter();
        Self { ask_again: Duration::from_secs(30), give_up: Duration::from_mins(5), backoff }
    }
}

/// Where an assignment gets its URLs.
#[derive(Debug)]
pub struct UrlDesk {
    reporter: Reporter,
    answers: UnboundedReceiver<Order>,
    pace: Pace,
}

impl UrlDesk {
    /// Asks through `reporter`; `answers` are those for this very start.
    pub fn new(reporter: Reporter, answers: UnboundedReceiver<Order>, pace: Pace) -> Self {
        Self { reporter, answers, pace }
    }

    /// A fresh URL of the input `file`; none where no answer came.
    pub async fn download(&mut self, file: &str) -> Option<String> {
        self.ask(&[file.to_owned()], &[]).await?.downloads.remove(file)
    }

    /// Where to post each of `files`; none where no answer came.
    pub async fn uploads(&mut self, files: &[FileSize]) -> Option<Vec<Upload>> {
        let mut fresh = self.ask(&[], files).await?;
        files.iter().map(|file| fresh.uploads.remove(&file.file)).collect()
    }

    /// The objects of `folder` that come after the name `after`; none where no answer came.
    pub async fn page(&mut self, folder: &str, after: Option<&str>) -> Option<Page> {
        let (folder, after) = (folder.to_owned(), after.map(str::to_owned));
        let is_it = |page: &Page| page.folder == folder && page.after == after;
        let question = News::PageWanted { folder: folder.clone(), after: after.clone() };
        self.converse(question, |answer| match answer {
            Order::Page(page) if is_it(&page) => Some(page),
            _ => None,
        })
        .await
    }

    /// The parts of a file that are wanted, signed, and where its upload is completed; none where no answer came.
    pub async fn parts(&mut self, wanted: &PartsWanted) -> Option<SignedParts> {
        let question = News::PartsWanted(wanted.clone());
        let is_it = |parts: &SignedParts| parts.file == wanted.file && parts.from == wanted.from;
        self.converse(question, |answer| match answer {
            Order::Parts(parts) if is_it(&parts) => Some(parts),
            _ => None,
        })
        .await
    }

    async fn ask(&mut self, downloads: &[String], uploads: &[FileSize]) -> Option<Fresh> {
        let question = News::UrlsWanted { downloads: downloads.to_vec(), uploads: uploads.to_vec() };
        let mut fresh = Fresh::default();
        if fresh.has(downloads, uploads) {
            return Some(fresh);
        }
        self.converse(question, |answer| {
            if let Order::Urls(urls) = answer {
                fresh.add(urls);
            }
            fresh.has(downloads, uploads).then(|| mem::take(&mut fresh))
        })
        .await
    }

    /// Asks `question` again and again, until `take` has what it wants of the answers, or there will be none.
    async fn converse<T>(&mut self, question: News, mut take: impl FnMut(Order) -> Option<T>) -> Option<T> {
        // The answers to earlier questions may have expired.
        while self.answers.try_recv().is_ok() {}
        let mut questions = interval(self.pace.ask_again);
        let conversation = async {
            loop {
                select! {
                    _ = questions.tick() => self.reporter.mention(question.clone()).await,
                    Some(answer) = self.answers.recv() => {
                        if let Some(taken) = take(answer) {
                            return taken;
                        }
                    }
                }
            }
        };
        timeout(self.pace.give_up, conversation).await.ok()
    }
}

/// What has been answered, by file. The answer may come in parts, since one message does not hold the URLs of many files.
#[derive(Debug, Default)]
struct Fresh {
    downloads: BTreeMap<String, String>,
    uploads: BTreeMap<String, Upload>,
}

impl Fresh {
    fn add(&mut self, answer: SignedUrls) {
        self.downloads.extend(answer.downloads.into_iter().map(|download| (download.file, download.url)));
        self.uploads.extend(answer.uploads.into_iter().map(|upload| (upload.file.clone(), upload)));
    }

    fn has(&self, downloads: &[String], uploads: &[FileSize]) -> bool {
        downloads.iter().all(|file| self.downloads.contains_key(file))
            && uploads.iter().all(|upload| self.uploads.contains_key(&upload.file))
    }
}
