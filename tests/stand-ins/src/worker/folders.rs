//! Folders, as a worker fills and delivers them: nothing is moved here, but every URL and form is looked at.

use mayfly_model::class::Class;
use mayfly_model::job::Pattern;
use mayfly_model::message::{Failure, FileSize, FolderSize, News, Order, POST_LIMIT, Page, Upload};
use serde_json::json;

use crate::worker::urls::{self, Verdict};
use crate::worker::work::{Course, failure, upload_failure};

impl Course {
    /// All pages of a folder.
    pub async fn list(&mut self, folder: String) -> Result<(String, Vec<Page>), Failure> {
        let mut pages: Vec<Page> = Vec::new();
        loop {
            let last = pages.last().and_then(|page| page.objects.last()).map(|object| object.name.clone());
            let page = self.page(&folder, last).await;
            let page = page.ok_or_else(|| unavailable(&folder, "no list of what is in it came"))?;
            if let Some(object) =
                page.objects.iter().find(|object| object.name.split('/').any(|part| part == ".."))
            {
                return Err(unavailable(
                    &folder,
                    &format!("the key that goes on with {} cannot be a file's", object.name),
                ));
            }
            let has_more = page.has_more && !page.objects.is_empty();
            pages.push(page);
            if !has_more {
                break;
            }
        }
        if pages.iter().all(|page| page.objects.is_empty()) {
            return Err(unavailable(&folder, "nothing is below its prefix"));
        }
        Ok((folder, pages))
    }

    /// The objects that come after this name.
    async fn page(&mut self, folder: &str, after: Option<String>) -> Option<Page> {
        let is_it = |page: &Page| page.folder == folder && page.after == after;
        let question = News::PageWanted { folder: folder.to_owned(), after: after.clone() };
        self.converse(question, |answer| match answer {
            Order::Page(page) if is_it(&page) => Some(page),
            _ => None,
        })
        .await
    }

    /// Brings the objects of all pages.
    pub async fn fill(&mut self, folder: &str, pages: Vec<Page>) -> Result<(), Failure> {
        let mut before: Option<String> = None;
        for mut page in pages {
            let names: Vec<_> = page.objects.iter().map(|object| object.name.clone()).collect();
            for name in names {
                let mut was_refused = false;
                let why = loop {
                    let object = page.objects.iter().find(|object| object.name == name);
                    let Some(object) = object else { break "it is no longer there".to_owned() };
                    let url = Page::url_of(&page.url, &name, &object.signature);
                    let verdict = urls::download(&url, self.reporter.clock.now());
                    self.note_signed(&format!("{folder}{name}"), urls::place(&url), &verdict);
                    match verdict {
                        Verdict::Good => break String::new(),
                        Verdict::Expired if !was_refused => was_refused = true,
                        Verdict::Expired => break "its fresh URL has expired too".to_owned(),
                        Verdict::Bad(why) => break why,
                    }
                    let Some(fresh) = self.page(folder, before.clone()).await else {
                        break "no fresh URL came".to_owned();
                    };
                    page = fresh;
                };
                if !why.is_empty() {
                    return Err(unavailable(folder, &format!("{name}: {why}")));
                }
                self.end.clock.sleep(self.behaviour.download).await;
                before = Some(name);
            }
        }
        self.reporter.log.info("input downloaded", json!({ "folder": folder }));
        Ok(())
    }

    /// Brings the files of a folder or a pattern to their places.
    pub async fn deliver(&mut self, output: &FileSize, mut form: Upload) -> Result<(), Failure> {
        let below = Pattern::parse(&output.file).map_or(String::new(), |pattern| pattern.folder().to_owned());
        self.finished.folders.push(FolderSize { file: output.file.clone(), ..FolderSize::default() });
        for n in 0..self.behaviour.folder_files {
            let name = format!("{n}.ts");
            // The others are small.
            let bytes = if n == 0 { self.behaviour.output_bytes } else { 1 };
            let file = FileSize { file: format!("{below}{name}"), bytes };
            let complete = |form: &Upload| {
                let mut its = form.clone();
                its.fields.entry("key".to_owned()).or_default().push_str(&name);
                its.fields.entry("Content-Type".to_owned()).or_insert_with(|| "video/mp2t".to_owned());
                its
            };
            if file.bytes > POST_LIMIT {
                self.upload_in_parts(&file, Some(&output.file)).await?;
            } else if let Err(why) = self.upload_by(&mut form, output, &file, complete).await {
                let message = format!("the output {} could not be uploaded: {name}: {why}", output.file);
                return Err(upload_failure(&message));
            }
            self.note_listed(&file.file, file.bytes);
            if let Some(folder) = self.finished.folders.last_mut() {
                folder.add(file, &mut self.room);
            }
        }
        Ok(())
    }
}

fn unavailable(folder: &str, why: &str) -> Failure {
    failure(Class::InputUnavailable, format!("the input {folder} could not be downloaded: {why}"))
}
