//! Searches through many resources, in which one failure does not make what was found worthless.

use std::future::Future;

use futures_util::{StreamExt, stream};

use crate::error::Error;

/// So few calls at a time, because jobs that start and end need the account's rates of calls as well.
pub const SIDE_BY_SIDE: usize = 4;

/// What a search has found, and where it failed.
#[derive(Debug)]
pub struct Search<T> {
    /// What was found.
    pub found: Vec<T>,
    /// What could not be looked at.
    pub failures: Vec<Error>,
}

impl<T> Default for Search<T> {
    fn default() -> Self {
        Self { found: Vec::new(), failures: Vec::new() }
    }
}

impl<T> Search<T> {
    /// Looks at each of `items`, a few side by side; where even they could not be listed, that is the failure.
    pub async fn of<I, L>(items: Result<Vec<I>, Error>, look: impl Fn(I) -> L) -> Self
    where
        L: Future<Output = Result<Vec<T>, Error>>,
    {
        let mut search = Self::default();
        match items {
            Ok(items) => {
                let looks: Vec<_> = items.into_iter().map(look).collect();
                let mut looks = stream::iter(looks).buffer_unordered(SIDE_BY_SIDE);
                while let Some(found) = looks.next().await {
                    search.add(found);
                }
            }
            Err(error) => search.failures.push(error),
        }
        search
    }

    /// Adds what one look has found, or its failure.
    pub fn add(&mut self, found: Result<Vec<T>, Error>) {
        match found {
            Ok(found) => self.found.extend(found),
            Err(error) => self.failures.push(error),
        }
    }
}
