//! Finds out what an input that is a folder is made of, and refuses what cannot be files of one folder, before the first byte
//! of it is brought.

use std::collections::HashSet;
use std::rc::Rc;

use mayfly_model::class::Class;
use mayfly_model::job::FOLDER_LIMIT;
use mayfly_model::message::{Failure, Object, Page};
use mayfly_model::shown::shown;

use crate::urls::UrlDesk;

/// Source: `NAME_MAX` in Linux's limits.h, in bytes.
const PART_LIMIT: usize = 255;

/// An input that is a folder, as it was listed.
#[derive(Debug)]
pub struct Listing {
    /// Its name in the working directory, with its `/`.
    pub folder: String,
    /// What is to be brought, in the order of S3, which is that of the names' bytes.
    pub items: Vec<Item>,
}

/// An object below the folder's prefix.
#[derive(Debug)]
pub struct Item {
    /// What its key has after the prefix. One that ends with `/` stands for a folder, and has nothing in it.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its entity tag.
    pub tag: String,
    /// Where to get it.
    pub signed: Signed,
}

/// A signed URL, of which all objects of a page have most in common.
#[derive(Clone, Debug)]
pub struct Signed {
    common: Rc<str>,
    signature: String,
}

impl Signed {
    /// The URL of the object `name`.
    pub fn url(&self, name: &str) -> String {
        Page::url_of(&self.common, name, &self.signature)
    }

    /// Whether the two are one.
    pub fn is(&self, other: &Self) -> bool {
        self.signature == other.signature
    }
}

impl Listing {
    /// Asks for all pages of `folder`.
    ///
    /// # Errors
    /// Where no answer comes, or what is there cannot be brought.
    pub async fn read(desk: &mut UrlDesk, folder: &str) -> Result<Self, Failure> {
        let mut listing = Self { folder: folder.to_owned(), items: Vec::new() };
        let mut after: Option<String> = None;
        loop {
            let Some(page) = desk.page(folder, after.as_deref()).await else {
                return Err(unavailable(
                    folder,
                    "no list of what is in it came; see the log of handle-report",
                ));
            };
            let (has_more, last) = (page.has_more, page.objects.last().map(|object| object.name.clone()));
            // Names that do not go on would be listed for ever.
            let is_further = last > after;
            listing.add(page)?;
            if !has_more || !is_further {
                break;
            }
            after = last;
        }
        listing.check_together()?;
        if listing.items.iter().all(|item| item.name.ends_with('/')) {
            return Err(unavailable(folder, "nothing is below its prefix"));
        }
        Ok(listing)
    }

    fn add(&mut self, page: Page) -> Result<(), Failure> {
        let common: Rc<str> = page.url.into();
        for Object { name, bytes, tag, signature } in page.objects {
            // The prefix itself, which is what the console makes of an empty folder.
            if name.is_empty() && bytes == 0 {
                continue;
            }
            if let Some(why) = fault(&name, bytes) {
                return Err(self.refused(&name, why));
            }
            if self.items.len() == FOLDER_LIMIT {
                let message = format!(
                    "more than {FOLDER_LIMIT} objects are below its prefix; split it into several inputs"
                );
                return Err(unavailable(&self.folder, &message));
            }
            let signed = Signed { common: common.clone(), signature };
            self.items.push(Item { name, bytes, tag, signed });
        }
        Ok(())
    }

    /// A name cannot be a file's and a folder's.
    fn check_together(&self) -> Result<(), Failure> {
        let files: HashSet<&str> =
            self.items.iter().map(|item| item.name.as_str()).filter(|name| !name.ends_with('/')).collect();
        for Item { name, .. } in &self.items {
            let mut folders = name.match_indices('/').map(|(end, _)| &name[..end]);
            if let Some(folder) = folders.find(|folder| files.contains(folder)) {
                return Err(self.refused(name, &format!("{} is an object, too", shown(folder))));
            }
        }
        Ok(())
    }

    fn refused(&self, name: &str, why: &str) -> Failure {
        let message =
            format!("the key that goes on with {} cannot be a file's in a folder: {why}", shown(name));
        unavailable(&self.folder, &message)
    }

    /// How large all are together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// Takes the signatures of those that `page` has in the same version, and tells what has become of the one at `index`.
    ///
    /// # Errors
    /// In words, where it is not there any more as it was.
    pub fn renew(&mut self, page: Page, index: usize) -> Result<(), &'static str> {
        let common: Rc<str> = page.url.into();
        let mut told = Err("it is no longer there");
        for object in page.objects {
            let Ok(at) = self.items.binary_search_by(|item| item.name.as_bytes().cmp(object.name.as_bytes()))
            else {
                continue;
            };
            let item = &mut self.items[at];
            let is_same = item.tag == object.tag;
            if at == index {
                told = if is_same { Ok(()) } else { Err("it has changed since it was listed") };
            }
            if is_same {
                item.signed = Signed { common: common.clone(), signature: object.signature };
            }
        }
        told
    }
}

/// Why no file below the folder can have this name.
fn fault(name: &str, bytes: u64) -> Option<&'static str> {
    let parts = || name.strip_suffix('/').unwrap_or(name).split('/');
    if name.contains('\0') {
        return Some("it has a NUL in it");
    }
    if parts().any(str::is_empty) {
        return Some("it has an empty part between slashes");
    }
    if parts().any(|part| part == "." || part == "..") {
        return Some("it has a part . or ..");
    }
    if parts().any(|part| part.len() > PART_LIMIT) {
        return Some("it has a part of more than 255 bytes");
    }
    (name.ends_with('/') && bytes > 0).then_some("it ends with / and is not empty")
}

/// Why the input `folder` is not there.
pub fn unavailable(folder: &str, why: &str) -> Failure {
    let message = format!("the input {} could not be downloaded: {why}", shown(folder));
    Failure { class: Class::InputUnavailable, message, output: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(objects: &[(&str, u64, &str)]) -> Page {
        let object = |(name, bytes, tag): &(&str, u64, &str)| Object {
            name: (*name).to_owned(),
            bytes: *bytes,
            tag: (*tag).to_owned(),
            signature: format!("{name}-{tag}"),
        };
        Page {
            start: 1,
            folder: "in/".to_owned(),
            after: None,
            url: "https://b/in/?a=1".to_owned(),
            objects: objects.iter().map(object).collect(),
            has_more: false,
        }
    }

    fn listed(objects: &[(&str, u64, &str)]) -> Result<Listing, String> {
        let mut listing = Listing { folder: "in/".to_owned(), items: Vec::new() };
        let told = listing.add(page(objects)).and_then(|()| listing.check_together());
        told.map(|()| listing).map_err(|failure| failure.message)
    }

    #[test]
    fn keys_that_lead_elsewhere_are_refused_by_name() {
        let long = "x".repeat(256);
        for (name, bytes, why) in [
            ("../a", 1, "a part . or .."),
            ("a/../../b", 1, "a part . or .."),
            ("a/./b", 1, "a part . or .."),
            ("..", 1, "a part . or .."),
            ("/etc/passwd", 1, "an empty part"),
            ("a//b", 1, "an empty part"),
            ("", 1, "an empty part"),
            ("a\0b", 1, "a NUL"),
            (long.as_str(), 1, "more than 255 bytes"),
            ("a/", 1, "ends with / and is not empty"),
            ("a/../", 0, "a part . or .."),
        ] {
            let told = listed(&[("0", 1, "t"), (name, bytes, "t")]).unwrap_err();
            assert!(
                told.starts_with("the input in/ could not be downloaded: the key that goes on with "),
                "{told}"
            );
            assert!(told.contains(why), "{name}: {told}");
        }
        for names in [["a", "a-b", "a/b"], ["a", "a-b", "a/b/"]] {
            let told = listed(&names.map(|name| (name, 0, "t"))).unwrap_err();
            assert!(told.ends_with("a is an object, too"), "{told}");
        }
        let names = ["", "..a", "a b/ü", "a...", "b\\c", "c/", "c/d", &long[1..]];
        assert_eq!(listed(&names.map(|name| (name, 0, "t"))).unwrap().items.len(), 7);
    }

    #[test]
    fn more_objects_than_a_folder_may_have_are_refused() {
        let names: Vec<_> = (0..=FOLDER_LIMIT).map(|n| n.to_string()).collect();
        let objects: Vec<_> = names.iter().map(|name| (name.as_str(), 1, "t")).collect();
        assert_eq!(listed(&objects[1..]).unwrap().bytes(), 100_000);
        assert!(listed(&objects).unwrap_err().contains("more than 100000 objects"));
    }

    #[test]
    fn fresh_signatures_are_for_the_versions_that_were_listed() {
        let mut listing = listed(&[("a", 1, "1"), ("b", 1, "1"), ("c", 1, "1")]).unwrap();
        let fresh = [("a", 1, "2"), ("b", 1, "1"), ("bb", 1, "1")];
        assert_eq!(listing.renew(page(&fresh), 1), Ok(()));
        assert_eq!(listing.renew(page(&fresh), 0), Err("it has changed since it was listed"));
        assert_eq!(listing.renew(page(&fresh), 2), Err("it is no longer there"));
        assert_eq!(listing.items[1].signed.url("b"), "https://b/in/b?a=1&X-Amz-Signature=b-1");
    }
}
