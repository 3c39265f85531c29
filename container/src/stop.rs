//! How the work on an assignment ends before its time: it takes too long, the container is told to stop, or a newer
//! assignment takes its place.

use std::time::{Duration, Instant};

use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Phase};
use tokio::select;
use tokio::sync::watch;
use tokio::time::sleep;

/// Why an assignment ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It took longer than `timeoutMinutes`.
    TimedOut,
    /// The container was told to stop.
    Interrupted,
    /// A newer start takes its place; nobody waits for this one's report.
    Superseded,
}

impl Stop {
    /// How long the command may take to end by itself; `interrupted` where the container is told to stop.
    pub fn grace(self, interrupted: Duration) -> Duration {
        match self {
            Self::Interrupted => interrupted,
            Self::TimedOut | Self::Superseded => Duration::from_secs(10),
        }
    }
}

/// The one who may stop an assignment.
#[derive(Debug, Default)]
pub struct StopRequest(watch::Sender<Option<Stop>>);

impl StopRequest {
    /// Asks the assignment to end; the first reason stands.
    pub fn make(&self, stop: Stop) {
        self.0.send_if_modified(|made| {
            let is_first = made.is_none();
            made.get_or_insert(stop);
            is_first
        });
    }

    /// Whether the assignment has been asked to end.
    pub fn is_made(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// What the assignment listens to.
    pub fn signal(&self) -> watch::Receiver<Option<Stop>> {
        self.0.subscribe()
    }
}

/// An assignment's view of its end: the request of another, or its own time-out.
#[derive(Clone, Debug)]
pub struct StopSignal {
    request: watch::Receiver<Option<Stop>>,
    started: Instant,
    timeout: Duration,
}

impl StopSignal {
    /// For an assignment that `started` and may take `timeout`.
    pub fn new(request: watch::Receiver<Option<Stop>>, started: Instant, timeout: Duration) -> Self {
        Self { request, started, timeout }
    }

    /// What is left of the attempt's time.
    pub fn time_left(&self) -> Duration {
        self.timeout.saturating_sub(self.started.elapsed())
    }

    /// Waits for the end.
    pub async fn stopped(&self) -> Stop {
        let mut request = self.request.clone();
        let requested = async {
            match request.wait_for(Option::is_some).await.map(|stop| *stop) {
                Ok(Some(stop)) => stop,
                // Nobody is left who could ask.
                _ => std::future::pending().await,
            }
        };
        select! {
            stop = requested => stop,
            () = sleep(self.time_left()) => Stop::TimedOut,
        }
    }

    /// Does `work`, or drops it at the end of the assignment. What is done when the end comes is done.
    pub async fn guard<T>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        select! {
            biased;
            result = work => result,
            stop = self.stopped() => Err(self.failure(stop, phase)),
        }
    }

    /// What to report when `stop` came in `phase`.
    pub fn failure(&self, stop: Stop, phase: Phase) -> Failure {
        let busy = match phase {
            Phase::Downloading => "its inputs were downloaded",
            Phase::Running => "the command ran",
            Phase::Uploading => "its outputs were uploaded",
        };
        let (class, message) = match stop {
            Stop::TimedOut => (
                Class::TimedOut,
                format!(
                    "the attempt took longer than {} (timeoutMinutes); it was stopped while {busy}",
                    self.limit()
                ),
            ),
            Stop::Interrupted => (
                Class::SpotInterrupted,
                format!(
                    "the container was told to stop while {busy} \
                     (Spot capacity taken back, or the service was stopped)"
                ),
            ),
            Stop::Superseded => (Class::Internal, format!("a newer start took over while {busy}")),
        };
        Failure { class, message, output: None }
    }

    fn limit(&self) -> String {
        match self.timeout.as_secs() {
            60 => "1 minute".to_owned(),
            seconds if seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
            seconds => format!("{seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_at_the_very_end_of_the_time_is_done() {
        let request = StopRequest::default();
        let stop = StopSignal::new(request.signal(), Instant::now(), Duration::ZERO);
        stop.guard(Phase::Uploading, async { Ok(()) }).await.unwrap();
        let failure =
            stop.guard(Phase::Uploading, std::future::pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(failure.class, Class::TimedOut);
    }
}
