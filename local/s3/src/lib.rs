//! A strict stand-in for S3, for just the calls that Mayfly, its samples, its tests and its tools make, on the real wire
//! protocol, path-style. Bodies go to the disk and come from it as they arrive and are wanted, and blocks of zeros take no
//! room there: an object of many gigabytes costs neither memory nor, if it is empty enough, disk.
//!
//! What answers on AWS look like that no page tells is taken from recordings: "recorded" names those that LocalStack's tests
//! have made on AWS (github.com/localstack/localstack, `tests/aws/services/s3/test_s3.snapshot.json`).
//!
//! Not s3s, which has S3's whole model and brings its own principals and rights: a form's file is held in memory there.

#![allow(clippy::struct_field_names, reason = "the structs of requests have the names of the wire")]

mod access;
mod body;
mod buckets;
mod checksum;
mod chunked;
mod conditions;
mod content;
mod error;
mod faults;
mod form;
mod headers;
mod listing;
mod multipart;
mod object;
mod objects;
mod operation;
mod policy;
mod query;
mod server;
mod signature;
mod state;
mod target;
mod throttle;
mod uploads;
mod xml;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::upstream::Upstream;

use crate::state::State;

pub use crate::faults::{Fault, Faults};
pub use crate::server::serve;

/// What the stand-in works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account.
    pub upstream: Upstream,
    /// Who is calling, and what the caller may do.
    pub guard: Guard,
    /// Where each answered call is noted.
    pub calls: CallLog,
    /// Where bodies are kept, in files that nobody else has: an existing folder.
    pub folder: PathBuf,
    /// What goes wrong with which key.
    pub faults: Faults,
}

/// The S3 of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct S3 {
    config: Arc<Config>,
    state: Arc<Mutex<State>>,
    /// How many files were begun.
    files: Arc<AtomicU64>,
}

impl S3 {
    /// An S3 that has no buckets yet.
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), state: Arc::default(), files: Arc::default() }
    }

    /// What time it is, in the whole seconds that S3 tells.
    fn now(&self) -> Timestamp {
        let now = self.config.upstream.clock.now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }
}
