//! Brings the objects of an input that is a folder, several at a time.

use std::cell::{Cell, RefCell};

use futures_util::{StreamExt, TryStreamExt, stream};
use mayfly_model::message::Failure;
use mayfly_model::shown::shown;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;

use crate::disk;
use crate::download::{self, Partial};
use crate::folder::Folder;
use crate::http::{Http, Tries, Trouble};
use crate::listing::{Listing, Signed, unavailable};
use crate::urls::UrlDesk;

/// How many objects are on their way at a time.
const SIDE_BY_SIDE: usize = 16;

/// What a folder is filled with.
pub struct Filler<'a, T, P> {
    /// The clients.
    pub http: &'a Http,
    /// The working folder.
    pub folder: &'a Folder,
    /// Whom to ask for fresh signatures, one at a time.
    pub desk: Mutex<&'a mut UrlDesk>,
    /// What is brought.
    pub listing: RefCell<Listing>,
    /// The tries of a transfer that begins now.
    pub tries: T,
    /// Is told the file and the bytes that have arrived of all together.
    pub progress: P,
}

impl<T: Fn() -> Tries, P: Fn(&str, u64)> Filler<'_, T, P> {
    /// Brings all of it; the first that cannot be brought ends it.
    pub async fn fill(&self) -> Result<(), Failure> {
        let (count, arrived) = (self.listing.borrow().items.len(), Cell::new(0));
        let bring = |index| self.bring(index, &arrived);
        stream::iter(0..count).map(bring).buffer_unordered(SIDE_BY_SIDE).try_collect().await
    }

    async fn bring(&self, index: usize, arrived: &Cell<u64>) -> Result<(), Failure> {
        let (name, bytes, tag, mut signed) = {
            let listing = self.listing.borrow();
            let item = &listing.items[index];
            (item.name.clone(), item.bytes, item.tag.clone(), item.signed.clone())
        };
        let folder = self.listing.borrow().folder.clone();
        let failed = |trouble: Trouble| match trouble {
            Trouble::Disk(error) => {
                let Failure { class, message, .. } =
                    unavailable(&folder, &format!("{}: {error}", shown(&name)));
                disk::failure(class, message, &error)
            }
            trouble => unavailable(&folder, &format!("{}: {trouble}", shown(&name))),
        };
        let file = format!("{folder}{name}");
        if name.ends_with('/') {
            return self.folder.create_folder(&file).map_err(|error| failed(Trouble::Disk(error)));
        }
        let tag = HeaderValue::from_str(&tag)
            .map_err(|_| failed(Trouble::Definite("its entity tag is none".to_owned())))?;
        let made = self.folder.create_file(&file).map_err(|error| failed(Trouble::Disk(error)))?;
        let mut partial = Partial::of_version(made, tag);
        let counted = Cell::new(0);
        let count = |now: u64, _: Option<u64>| {
            arrived.set((arrived.get() + now).saturating_sub(counted.replace(now)));
            (self.progress)(&file, arrived.get());
        };
        let mut refused_at = None;
        loop {
            let url = self.http.parse(&signed.url(&name)).map_err(failed)?;
            match download::fetch(self.http, &url, &mut partial, (self.tries)(), count).await {
                Ok(()) if partial.bytes() == bytes => return Ok(()),
                Ok(()) => {
                    let came = format!("{} bytes came in place of {bytes}", partial.bytes());
                    return Err(failed(Trouble::Definite(came)));
                }
                // As of an input that is one file: one that has brought nothing will never be good.
                Err(Trouble::Expired(_)) if refused_at.is_none_or(|at| partial.furthest() > at) => {
                    refused_at = Some(partial.furthest());
                    signed = self.renewed(index, &signed).await.map_err(failed)?;
                }
                Err(trouble) => return Err(failed(trouble)),
            }
        }
    }

    /// A signature for the object at `index` that is not `old`: one that came meanwhile, or a fresh one.
    async fn renewed(&self, index: usize, old: &Signed) -> Result<Signed, Trouble> {
        let mut desk = self.desk.lock().await;
        let now = || self.listing.borrow().items[index].signed.clone();
        if !now().is(old) {
            return Ok(now());
        }
        let (folder, after) = {
            let listing = self.listing.borrow();
            // Those that were begun before it have most likely been refused as well: one page is for all of them.
            let before = index.checked_sub(SIDE_BY_SIDE).map(|before| listing.items[before].name.clone());
            (listing.folder.clone(), before)
        };
        let page = desk.page(&folder, after.as_deref()).await;
        let page = page.ok_or_else(|| Trouble::Definite("no fresh URL came".to_owned()))?;
        let renewed = self.listing.borrow_mut().renew(page, index);
        renewed.map_err(|why| Trouble::Definite(why.to_owned()))?;
        Ok(now())
    }
}
