//! How a job goes on after a start that failed, in words: on which attempt, on which capacity, and why.

use mayfly_model::class::Class;
use mayfly_model::ending::{Ending, Next};
use mayfly_model::outcome::JobFailure;
use mayfly_model::turn::{Provider, Turn};

/// What was, and what comes next; nothing where the job is over.
pub fn told(ending: &Ending) -> Option<String> {
    let (failure, turn) = (ending.end.failure()?, ending.next.turn()?);
    let who = if failure.attempt.is_some_and(|attempt| attempt < turn.attempt) {
        format!("attempt {}", turn.attempt)
    } else {
        format!("start {}", turn.start)
    };
    let goes_on = match ending.next {
        Next::Conclude => return None,
        Next::Dispatch(_) if turn.awaits_quota() => "waits for room",
        Next::Dispatch(_) => "waits for its container",
        Next::Relaunch(_) if leaves_spot(failure.error, turn) => "moves to on-demand capacity",
        Next::Relaunch(_) => "gets a new service",
    };
    Some(format!("{}; {who} {goes_on}", what_was(failure)))
}

/// Each of these classes is about the capacity, and on demand none of them is followed by another launch on Spot.
fn leaves_spot(class: Class, turn: Turn) -> bool {
    turn.provider == Provider::OnDemand
        && matches!(class, Class::SpotInterrupted | Class::NoCapacity | Class::QuotaExceeded)
}

fn what_was(failure: &JobFailure) -> &str {
    match failure.error {
        Class::SpotInterrupted => "Spot capacity was taken back",
        Class::NoCapacity => "Fargate has no capacity",
        Class::QuotaExceeded => "the quota of Fargate's vCPUs is used up",
        Class::StartFailed => "the container never came",
        Class::HeartbeatLost => "the container stopped reporting",
        _ => &failure.message,
    }
}

#[cfg(test)]
mod tests {
    use mayfly_model::outcome::End;

    use super::*;

    /// The end of attempt 1.
    fn ending(next: Next, error: Class) -> Ending {
        let failure = JobFailure { attempt: Some(1), ..JobFailure::of_job(error, "in words".into()) };
        Ending { next, reported: false, end: End::Failed(failure) }
    }

    #[test]
    fn each_way_to_go_on_has_its_words() {
        let turn = |attempt, start, provider| Turn { attempt, start, ..Turn::first(provider) };
        let spot = turn(1, 2, Provider::Spot);
        let on_demand = turn(1, 3, Provider::OnDemand);
        let cases = [
            (
                Next::Dispatch(spot),
                Class::SpotInterrupted,
                "Spot capacity was taken back; start 2 waits for its container",
            ),
            (
                Next::Relaunch(on_demand),
                Class::SpotInterrupted,
                "Spot capacity was taken back; start 3 moves to on-demand capacity",
            ),
            (
                Next::Relaunch(on_demand),
                Class::NoCapacity,
                "Fargate has no capacity; start 3 moves to on-demand capacity",
            ),
            (
                Next::Relaunch(on_demand),
                Class::QuotaExceeded,
                "the quota of Fargate's vCPUs is used up; start 3 moves to on-demand capacity",
            ),
            (
                Next::Dispatch(Turn { queue_seconds: 3600, ..spot }),
                Class::QuotaExceeded,
                "the quota of Fargate's vCPUs is used up; start 2 waits for room",
            ),
            (
                Next::Relaunch(spot),
                Class::StartFailed,
                "the container never came; start 2 gets a new service",
            ),
            (
                Next::Relaunch(turn(2, 4, Provider::OnDemand)),
                Class::HeartbeatLost,
                "the container stopped reporting; attempt 2 gets a new service",
            ),
            (Next::Dispatch(spot), Class::Internal, "in words; start 2 waits for its container"),
        ];
        for (next, class, words) in cases {
            assert_eq!(told(&ending(next, class)).as_deref(), Some(words));
        }
    }

    #[test]
    fn a_job_that_is_over_does_not_go_on() {
        let over = ending(Next::Conclude, Class::CommandFailed);
        assert_eq!(told(&over), None);
    }
}
