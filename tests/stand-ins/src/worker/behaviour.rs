//! What a container does, as whoever directs the play says.

use std::fmt::Debug;
use std::time::Duration;

use local_aws::clock::Clock;
use mayfly_model::message::{Assignment, Failure};
use tokio::select;

use crate::worker::body::{Body, OF_SIGNAL};

const SIGTERM: i32 = 15;

/// Says what every container does. All durations are in the cloud's time.
pub trait Director: Debug + Send + Sync {
    /// How long the program of a worker's container takes from its start until it asks for orders.
    fn start_up(&self, task: &str) -> Duration {
        let _ = task;
        Duration::ZERO
    }

    /// What the worker in `task` makes of an order.
    fn behaviour(&self, task: &str, assignment: &Assignment) -> Behaviour;

    /// What the container does that prepares `task` for the worker.
    fn init(&self, task: &str) -> InitBehaviour {
        let _ = task;
        InitBehaviour::default()
    }

    /// What the service in `task` does.
    fn service(&self, task: &str) -> ServiceBehaviour {
        let _ = task;
        ServiceBehaviour::default()
    }
}

/// What becomes of one assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// How long each file takes that is an input.
    pub download: Duration,
    /// How long the command takes, where nobody stops it.
    pub takes: Duration,
    /// How long it goes on when it has been asked to end, as far as it is let.
    pub resists: Duration,
    /// How it ends.
    pub end: End,
    /// How large each file is that is an output, and the first one of each folder, in bytes.
    pub output_bytes: u64,
    /// How many files each output has that is a folder or a pattern.
    pub folder_files: u64,
    /// How long each file takes.
    pub upload: Duration,
    /// What the worker does besides, or instead.
    pub quirk: Option<Quirk>,
}

impl Behaviour {
    /// Work of this duration that ends well.
    pub fn success(takes: Duration) -> Self {
        Self {
            download: Duration::ZERO,
            takes,
            resists: Duration::ZERO,
            end: End::Success,
            output_bytes: 1,
            folder_files: 1,
            upload: Duration::ZERO,
            quirk: None,
        }
    }

    /// The same, with outputs of so many bytes, each of which takes so long.
    #[must_use]
    pub fn bringing(self, output_bytes: u64, upload: Duration) -> Self {
        Self { output_bytes, upload, ..self }
    }

    /// The same, but that the command fails.
    #[must_use]
    pub fn failing(self, exit_code: Option<i32>, failure: Failure) -> Self {
        Self { end: End::Failure { exit_code, failure }, ..self }
    }

    /// The same, with a quirk.
    #[must_use]
    pub fn with(self, quirk: Quirk) -> Self {
        Self { quirk: Some(quirk), ..self }
    }
}

/// How a command ends by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With code 0, and all outputs are there.
    Success,
    /// In another way.
    Failure {
        /// None where a signal has killed it.
        exit_code: Option<i32>,
        /// What the worker makes of it.
        failure: Failure,
    },
}

/// What a worker does that it should not. Durations count from when it has taken the order on.
#[derive(Clone, Debug, PartialEq)]
pub enum Quirk {
    /// From then on nothing moves in the container, and SIGKILL alone ends it.
    Hangs(Duration),
    /// The container dies.
    Dies {
        /// When.
        moment: Moment,
        /// Of which signal.
        signal: i32,
        /// Whether that was for want of memory.
        out_of_memory: bool,
    },
    /// When the work is done, the container ends with this code and without a report.
    EndsWithoutReport(i32),
    /// The result is reported that much later than it is there; meanwhile the worker is silent.
    ReportsLate(Duration),
    /// The result is reported once more, that much later.
    ReportsTwice(Duration),
    /// In place of the result the done queue gets this text.
    Garbles(String),
    /// Before it works, the worker sends what others may send who can write to the done queue: the same result, but with a
    /// guessed nonce, and as another job's; a token of its own making; and texts that are no reports.
    Forges,
    /// The answer to the completion of a large output is lost.
    LosesCompletion,
    /// The worker takes no notice of SIGTERM while it works.
    IgnoresTerm,
    /// The worker takes no notice of how long the attempt may take, nor of SIGTERM while it works.
    IgnoresTime,
}

/// When a container dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When it has taken the order on, before it has sent anything.
    TakenOn,
    /// That much later, whatever it is doing.
    After(Duration),
    /// When all outputs are stored, before that is reported.
    Stored,
    /// When the result has been reported.
    Reported,
}

/// What a service's container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceBehaviour {
    /// What it prints when it starts, a line.
    pub says: Option<String>,
    /// How long it takes from its start until it listens.
    pub start_up: Duration,
    /// When it ends by itself, counted from its start, and with which code; none where it does not.
    pub ends: Option<(Duration, i32)>,
    /// How long it goes on after SIGTERM.
    pub resists: Duration,
    /// The HTTP status of its page.
    pub status: u16,
    /// The exit code of every health check command.
    pub check: i32,
}

impl Default for ServiceBehaviour {
    fn default() -> Self {
        Self {
            says: None,
            start_up: Duration::ZERO,
            ends: None,
            resists: Duration::ZERO,
            status: 200,
            check: 0,
        }
    }
}

/// What the container does that brings the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitBehaviour {
    /// How long it takes.
    pub takes: Duration,
    /// How it ends.
    pub exit_code: i32,
}

impl Default for InitBehaviour {
    fn default() -> Self {
        Self { takes: Duration::from_millis(500), exit_code: 0 }
    }
}

impl InitBehaviour {
    /// Runs to its end, which SIGTERM brings about too: its program is no init process.
    pub(super) async fn live(self, clock: Clock, body: Body) -> i32 {
        select! {
            biased;
            () = body.told_to_stop.cancelled() => OF_SIGNAL + SIGTERM,
            () = clock.sleep(self.takes) => self.exit_code,
        }
    }
}
