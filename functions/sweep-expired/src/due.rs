//! What the sweeper does about a job that has resources: nothing, stop it or tear it down, by the state of its
//! execution.

use jiff::{SignedDuration, Timestamp};

/// How long after a job's end its own teardown, or the rule's, is left alone.
const GRACE: SignedDuration = SignedDuration::from_mins(30);

/// A job's execution.
#[derive(Clone, Copy, Debug)]
pub enum Execution {
    Running,
    /// It has ended then, if Step Functions says when.
    Ended(Option<Timestamp>),
    /// Step Functions does not know it, or not any more.
    Unknown,
    /// No tag names it, so it may be running.
    Unnamed,
}

impl Execution {
    /// Whether it may be one of a service whose end has been put off.
    pub fn may_run(self) -> bool {
        matches!(self, Self::Running | Self::Unnamed)
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Stop,
    TearDown,
}

/// What is to be done `now` for a job with resources of this expiry.
pub fn due(execution: Execution, expiry: Option<Timestamp>, now: Timestamp) -> Due {
    match execution {
        Execution::Running if expiry.is_some_and(|expiry| expiry < now) => Due::Stop,
        Execution::Ended(at) if at.is_none_or(|at| at + GRACE < now) => Due::TearDown,
        Execution::Unknown => Due::TearDown,
        Execution::Unnamed if expiry.is_none_or(|expiry| expiry < now) => Due::TearDown,
        Execution::Running | Execution::Ended(_) | Execution::Unnamed => Due::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    #[test]
    fn a_running_job_is_stopped_once_it_is_past_its_expiry() {
        assert_eq!(due(Execution::Running, Some(NOW - MINUTE), NOW), Due::Stop);
        assert_eq!(due(Execution::Running, Some(NOW + MINUTE), NOW), Due::Nothing);
        assert_eq!(due(Execution::Running, None, NOW), Due::Nothing);
    }

    #[test]
    fn a_job_whose_execution_has_no_name_is_left_alone_until_its_expiry() {
        assert_eq!(due(Execution::Unnamed, Some(NOW + MINUTE), NOW), Due::Nothing);
        assert_eq!(due(Execution::Unnamed, Some(NOW - MINUTE), NOW), Due::TearDown);
        assert_eq!(due(Execution::Unnamed, None, NOW), Due::TearDown);
    }

    #[test]
    fn a_service_that_may_run_may_have_been_extended() {
        assert!(Execution::Running.may_run() && Execution::Unnamed.may_run());
        assert!(!Execution::Ended(None).may_run() && !Execution::Unknown.may_run());
    }

    #[test]
    fn what_a_job_has_left_is_torn_down_when_others_have_had_time_to() {
        for expiry in [None, Some(NOW - MINUTE), Some(NOW + MINUTE)] {
            let ended = |at| due(Execution::Ended(at), expiry, NOW);
            assert_eq!(ended(Some(NOW - GRACE - MINUTE)), Due::TearDown);
            assert_eq!(ended(Some(NOW - GRACE + MINUTE)), Due::Nothing);
            assert_eq!(ended(None), Due::TearDown);
            assert_eq!(due(Execution::Unknown, expiry, NOW), Due::TearDown);
        }
    }
}
