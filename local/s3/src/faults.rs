//! What goes wrong with which key, for tests: once each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a `CompleteMultipartUpload` after its parts were found in order and 200 was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It takes so long, in the cloud's time; meanwhile white space is sent.
    Slow(Duration),
    /// It fails after that, as the body says.
    Fails(Duration),
    /// The object is made, and the connection breaks before that is said.
    AnswerLost,
}

/// Faults that are still to come. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<VecDeque<(String, Fault)>>>);

impl Faults {
    /// Lets `fault` happen to the next completion of an upload for `key`.
    pub fn add(&self, key: &str, fault: Fault) {
        self.lock().push_back((key.to_owned(), fault));
    }

    pub(crate) fn take(&self, key: &str) -> Option<Fault> {
        let mut faults = self.lock();
        let at = faults.iter().position(|(of, _)| of == key)?;
        faults.remove(at).map(|(_, fault)| fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, Fault)>> {
        self.0.lock().expect("no thread panics while it holds the faults")
    }
}
