//! What the containers have really done, which no code of the product has a say in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use mayfly_model::message::Finished;
use mayfly_model::turn::Turn;
use serde::Serialize;

/// All lives, by the task's id. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Truth(Arc<Mutex<BTreeMap<String, Life>>>);

/// One container's life.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// Whose worker it is; none for a service.
    pub job: Option<String>,
    /// When it was started.
    pub began: Timestamp,
    /// Since when nothing in it moves; it may not have ended for that.
    pub hung: Option<Timestamp>,
    /// When it ended, and with which exit code.
    pub ended: Option<(Timestamp, i32)>,
    /// What it has taken on, in that order.
    pub starts: Vec<Start>,
}

/// One assignment in a container.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// The job of the order.
    pub job: String,
    /// Its turn.
    pub turn: Turn,
    /// Its nonce.
    pub nonce: String,
    /// When work on it began.
    pub began: Timestamp,
    /// When there was no work on it any more: it was done, or given up, or the container hung or ended.
    pub ended: Option<Timestamp>,
    /// What came out of it; none where work on it never came to an end of its own.
    pub result: Option<Finished>,
    /// The signed URLs and forms that came for it.
    pub signed: Vec<Signed>,
    /// The outputs that are in their places.
    pub stored: Vec<Stored>,
    /// Each time that the result was sent.
    pub sent: Vec<Sent>,
}

/// A URL or a form that was given to a worker.
#[derive(Clone, Debug, Serialize)]
pub struct Signed {
    /// When it came to be used.
    pub at: Timestamp,
    /// The file that it is for.
    pub file: String,
    /// The host with the path, and of a form its key: no signature.
    pub place: String,
    /// Why it cannot be used.
    pub refused: Option<String>,
}

/// An output in its place.
#[derive(Clone, Debug, Serialize)]
pub struct Stored {
    /// When it came there.
    pub at: Timestamp,
    /// Its name.
    pub file: String,
    /// The host with the path, and the key.
    pub place: String,
}

/// One sending of a result.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// When the request went out.
    pub at: Timestamp,
    /// When SQS's answer came that it has the message; without an answer it may have it all the same.
    pub accepted: Option<Timestamp>,
}

impl Truth {
    /// All lives as they are now.
    pub fn lives(&self) -> BTreeMap<String, Life> {
        self.lock().clone()
    }

    pub(super) fn began(&self, task: &str, job: Option<&String>, now: Timestamp) {
        let life = Life { job: job.cloned(), began: now, hung: None, ended: None, starts: Vec::new() };
        let before = self.lock().insert(task.to_owned(), life);
        assert!(before.is_none(), "the container of {task} is started once");
    }

    pub(super) fn hung(&self, task: &str, now: Timestamp) {
        self.change(task, |life| {
            life.hung.get_or_insert(now);
            life.give_up(now);
        });
    }

    pub(super) fn ended(&self, task: &str, now: Timestamp, exit_code: i32) {
        self.change(task, |life| {
            life.ended = Some((now, exit_code));
            life.give_up(now);
        });
    }

    pub(super) fn took_on(&self, task: &str, start: Start) {
        self.change(task, |life| life.starts.push(start));
    }

    /// Notes something of the assignment that `task` has taken on last.
    pub(super) fn of_start(&self, task: &str, note: impl FnOnce(&mut Start)) {
        self.change(task, |life| note(life.starts.last_mut().expect("an assignment has been taken on")));
    }

    fn change(&self, task: &str, how: impl FnOnce(&mut Life)) {
        how(self.lock().get_mut(task).expect("the container has been started"));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Life>> {
        self.0.lock().expect("no thread panics while it holds the truth")
    }
}

impl Life {
    fn give_up(&mut self, now: Timestamp) {
        if let Some(start) = self.starts.last_mut() {
            start.ended.get_or_insert(now);
        }
    }
}
