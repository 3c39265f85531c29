//! What goes wrong: a list of faults, what somebody says who is asked, or chance. What is done is noted, so that the same can
//! be done again by a list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};

use crate::answers;
use crate::lambda::{Runs, Start};
use crate::wire::{Called, Fate, Fates, Invocation};

/// Where something goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The function's folder.
    pub function: String,
    /// How many runs of it came before.
    pub visit: usize,
    /// How many calls the run had made before; nothing where it is about the run itself.
    pub call: Option<usize>,
}

/// What goes wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// The call is throttled.
    Throttled,
    /// The service answers that it has failed.
    ServerError,
    /// IAM does not allow it, as it may say shortly after something was created.
    Denied,
    /// The call never reaches its service, and the connection breaks.
    NotSent,
    /// The call has its effect, and the connection breaks before the answer.
    AnswerLost,
    /// The call has its effect, and what is answered is not AWS's.
    Garbled,
    /// The answer comes this many seconds late: the SDK waits six for it.
    Late(u64),
    /// The call comes to its service this many seconds late, although it may have been made once more meanwhile.
    Slow(u64),
    /// The function dies before the call has reached its service.
    KilledBefore,
    /// The function dies when the call has had its effect.
    KilledAfter,
    /// The run is throttled by Lambda.
    NotRun,
    /// The run begins this many seconds late.
    HeldUp(u64),
    /// The run ends before it has begun, with its process.
    Dies,
    /// The run does nothing until its time is over.
    Hangs,
    /// What the run answers is lost, so that it may be done once more.
    Unanswered,
}

impl What {
    /// What can happen to a call.
    const OF_CALLS: [Self; 11] = [
        Self::Throttled,
        Self::ServerError,
        Self::Denied,
        Self::NotSent,
        Self::AnswerLost,
        Self::Garbled,
        Self::Late(4),
        Self::Late(40),
        Self::Slow(10),
        Self::KilledBefore,
        Self::KilledAfter,
    ];
    /// What can happen to a run.
    const OF_RUNS: [Self; 5] = [Self::NotRun, Self::HeldUp(20), Self::Dies, Self::Hangs, Self::Unanswered];

    /// What can happen there.
    pub fn at(place: &Place) -> &'static [Self] {
        if place.call.is_some() { &Self::OF_CALLS } else { &Self::OF_RUNS }
    }
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Where.
    pub at: Place,
    /// What.
    pub what: What,
}

/// How often things go wrong by chance, in each thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// Calls.
    pub calls: u64,
    /// Runs.
    pub runs: u64,
    /// At most so many things in all.
    pub most: usize,
}

/// A call that was made, or a run that was begun, as it will come again in a run without faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Where.
    pub at: Place,
    /// `SERVICE:ACTION`; nothing for a run.
    pub action: Option<String>,
}

/// Who is asked at every place what goes wrong there.
pub trait Ask: Debug + Send + Sync {
    /// What does, of what [can](What::at).
    fn ask(&self, at: &Place) -> Option<What>;
}

/// Decides what goes wrong. Clones share what they have noted.
#[derive(Clone, Debug)]
pub struct Faults {
    source: Source,
    noted: Arc<Mutex<Noted>>,
}

/// Where what goes wrong comes from.
#[derive(Clone, Debug)]
enum Source {
    Chosen(Arc<BTreeMap<Place, What>>),
    Drawn(u64, Rates),
    Asked(Arc<dyn Ask>),
}

#[derive(Debug, Default)]
struct Noted {
    done: Vec<Fault>,
    made: Vec<Made>,
    held_up: BTreeSet<String>,
    is_over: bool,
}

impl Faults {
    /// Just these.
    pub fn chosen(faults: impl IntoIterator<Item = Fault>) -> Self {
        let chosen = faults.into_iter().map(|fault| (fault.at, fault.what)).collect();
        Self::from(Source::Chosen(Arc::new(chosen)))
    }

    /// By chance. Whether something goes wrong at a place depends on nothing but the seed and the place.
    pub fn drawn(seed: u64, rates: Rates) -> Self {
        Self::from(Source::Drawn(seed, rates))
    }

    /// What `whom` says.
    pub fn asked(whom: Arc<dyn Ask>) -> Self {
        Self::from(Source::Asked(whom))
    }

    /// Nothing goes wrong from now on.
    pub fn lift(&self) {
        self.lock().is_over = true;
    }

    /// From now on Lambda does not run this function, a folder of `functions/`: as where none of the account's concurrency
    /// is left for it.
    pub fn hold_up(&self, function: &str) {
        self.lock().held_up.insert(function.to_owned());
    }

    /// It runs it again.
    pub fn release(&self, function: &str) {
        self.lock().held_up.remove(function);
    }

    /// What has gone wrong so far.
    pub fn done(&self) -> Vec<Fault> {
        self.lock().done.clone()
    }

    /// Every call and every run so far.
    pub fn made(&self) -> Vec<Made> {
        self.lock().made.clone()
    }

    fn at(&self, at: Place, action: Option<String>) -> Option<What> {
        let mut noted = self.lock();
        noted.made.push(Made { at: at.clone(), action });
        if noted.is_over {
            return None;
        }
        let what = match &self.source {
            Source::Chosen(chosen) => chosen.get(&at).copied(),
            Source::Drawn(seed, rates) => {
                let rate = if at.call.is_some() { rates.calls } else { rates.runs };
                let (of, drawn) = (What::at(&at), hash(*seed, &at));
                let happens = drawn % 1000 < rate && noted.done.len() < rates.most;
                happens.then(|| of[usize::try_from(drawn / 1000 % of.len() as u64).unwrap_or_default()])
            }
            Source::Asked(whom) => whom.ask(&at),
        }?;
        noted.done.push(Fault { at, what });
        Some(what)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().expect("no thread panics while it holds the notes")
    }
}

/// A number that the seed and the place decide alone. `DefaultHasher::new` has the same keys in every process.
fn hash(seed: u64, at: &Place) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, &at.function, at.visit, at.call).hash(&mut hasher);
    hasher.finish()
}

/// How long a call takes when nothing is wrong.
const USUAL: Duration = Duration::from_millis(30);
/// How long it takes until a connection is found to be broken.
const BROKEN_AFTER: Duration = Duration::from_millis(200);
/// How long Lambda takes to make an execution environment, and to call one that is there.
const COLD: Duration = Duration::from_millis(150);
const WARM: Duration = Duration::from_millis(5);

impl From<Source> for Faults {
    fn from(source: Source) -> Self {
        Self { source, noted: Arc::default() }
    }
}

impl Fates for Faults {
    fn of_call(&self, called: &Called) -> Fate {
        let Invocation { function, visit } = called.by.clone();
        let at = Place { function, visit, call: Some(called.index) };
        let answered = |there, back| Fate::Answered { there, back };
        let refused = |response: Response<Bytes>| Fate::Refused(USUAL, response);
        match self.at(at, Some(format!("{}:{}", called.service, called.action))) {
            Some(What::Late(seconds)) => answered(USUAL / 2, Duration::from_secs(seconds)),
            Some(What::Slow(seconds)) => answered(Duration::from_secs(seconds), USUAL / 2),
            Some(What::Throttled) => refused(answers::throttled(&called.service)),
            Some(What::ServerError) => refused(answers::server_error(&called.service)),
            Some(What::Denied) => refused(answers::denied(&called.service, &called.action)),
            Some(What::NotSent) => Fate::Broken { done: false, after: BROKEN_AFTER },
            Some(What::Garbled) => Fate::Garbled(USUAL),
            Some(What::AnswerLost) => Fate::Broken { done: true, after: BROKEN_AFTER },
            Some(What::KilledBefore) => Fate::Killed { done: false },
            Some(What::KilledAfter) => Fate::Killed { done: true },
            _ => answered(USUAL / 2, USUAL / 2),
        }
    }
}

impl Runs for Faults {
    fn start(&self, invocation: &Invocation, is_new: bool) -> Start {
        let Invocation { function, visit } = invocation.clone();
        if self.lock().held_up.contains(&function) {
            return Start::Throttled;
        }
        let usual = if is_new { COLD } else { WARM };
        match self.at(Place { function, visit, call: None }, None) {
            Some(What::NotRun) => Start::Throttled,
            Some(What::HeldUp(seconds)) => Start::After(Duration::from_secs(seconds)),
            Some(What::Dies) => Start::Dies,
            Some(What::Hangs) => Start::Hangs,
            Some(What::Unanswered) => Start::Unanswered,
            _ => Start::After(usual),
        }
    }
}
