//! Of which class a failure may be: only of one whose cause was there.

use local_ecs::Fault as OfTask;
use mayfly_model::class::Class;

use super::{Seen, starts};
use crate::circumstance::Circumstance;
use crate::faults::What;

/// Whether a task of the job was to have a fault like this.
fn task(seen: &Seen<'_>, like: impl Fn(&OfTask) -> bool) -> bool {
    seen.circumstances.iter().any(|circumstance| match circumstance {
        Circumstance::Tasks(rule) => like(&rule.fault),
        _ => false,
    })
}

/// Whether a worker has reported this of a start.
fn reported(seen: &Seen<'_>, class: Class) -> bool {
    starts(seen).any(|start| {
        let failure = start.result.as_ref().and_then(|finished| finished.failure.as_ref());
        failure.is_some_and(|failure| failure.class == class)
    })
}

/// Whether a fault or a circumstance was there at all.
fn anything(seen: &Seen<'_>) -> bool {
    !seen.faults.is_empty() || !seen.circumstances.is_empty()
}

/// A container whose end nobody asked for, or that moved no more.
fn died(seen: &Seen<'_>) -> bool {
    seen.lives
        .values()
        .any(|life| life.hung.is_some() || life.ended.is_some_and(|(_, exit_code)| exit_code != 0))
}

/// A start that has come to no end of its own, or whose result was not told in time.
fn untold(seen: &Seen<'_>) -> bool {
    starts(seen).any(|start| start.result.is_none() || start.sent.len() != 1)
        || seen.lives.values().any(|life| life.starts.is_empty())
}

/// How many containers of a service have ended.
fn ended_services(seen: &Seen<'_>) -> usize {
    seen.lives.values().filter(|life| life.job.is_none() && life.ended.is_some()).count()
}

/// The class of a failure is that of something that happened.
pub(super) fn true_class(seen: &Seen<'_>, violations: &mut Vec<String>) {
    let Some(failure) = seen.outcome.and_then(|outcome| outcome.end.failure()) else { return };
    let may_be = match failure.error {
        Class::InvalidJob => false,
        Class::QuotaExceeded => {
            task(seen, |fault| matches!(fault, OfTask::QuotaReached { .. }))
                || seen.all.len() > 1
                || seen.circumstances.iter().any(|one| matches!(one, Circumstance::Full { .. }))
        }
        Class::ImagePullFailed => {
            task(seen, |fault| matches!(fault, OfTask::PullTimesOut | OfTask::PullDenied))
        }
        Class::NoCapacity => task(seen, |fault| matches!(fault, OfTask::NoCapacity)),
        Class::SpotInterrupted => {
            // A worker that is told to stop cannot tell the one from the other.
            let is_taken_back = |fault: &OfTask| {
                matches!(
                    fault,
                    OfTask::SpotInterruption { .. } | OfTask::Maintenance { .. } | OfTask::NoCapacity
                )
            };
            task(seen, is_taken_back)
        }
        Class::OutOfMemory => {
            reported(seen, Class::OutOfMemory)
                || task(seen, |fault| matches!(fault, OfTask::OutOfMemory { .. }))
                || died(seen)
        }
        // Three starts in vain are ECS's limit, and ours; a container that ended by itself says more than one that never was.
        Class::CommandFailed => {
            let is_in_vain = |fault: &OfTask| {
                matches!(fault, OfTask::PullTimesOut | OfTask::PullDenied | OfTask::NeverStarts { .. })
            };
            let ended = ended_services(seen);
            reported(seen, failure.error) || ended >= 3 || (ended > 0 && task(seen, is_in_vain))
        }
        Class::InputUnavailable | Class::UploadFailed | Class::DiskFull => reported(seen, failure.error),
        Class::TimedOut | Class::HeartbeatLost | Class::StartFailed => {
            anything(seen) || untold(seen) || died(seen)
        }
        Class::AccessDenied => {
            seen.is_disturbed || seen.faults.iter().any(|fault| fault.what == What::Denied)
        }
        Class::Internal => anything(seen),
    };
    if !may_be {
        let message = &failure.message;
        violations
            .push(format!("untrue outcome: {:?} ({message}), and nothing of it was there", failure.error));
    }
}
