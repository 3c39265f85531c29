//! How a job goes on after a start that failed, in words.

use mayfly_model::class::Class;
use mayfly_model::ending::{Ending, Next};
use mayfly_model::outcome::JobFailure;
use mayfly_model::turn::{Provider, Turn};

/// What was, and what comes next; nothing where the job is over.
pub fn told(ending: &Ending) -> Option<String> {
    let (failure, turn) = (ending.failure.as_ref()?, ending.turn?);
    let who = if failure.attempt.is_some_and(|attempt| attempt < turn.attempt) {
        format!("attempt {}", turn.attempt)
    } else {
        format!("start {}", turn.start)
    };
    let goes_on = match ending.next {
        Next::Conclude => return None,
        Next::Dispatch if turn.awaits_quota() => "waits for room",
        Next::Dispatch => "waits for its container",
        Next::Relaunch if leaves_spot(failure.error, turn) => "moves to on-demand capacity",
        Next::Relaunch => "gets a new service",
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
    use serde_json::json;

    use super::*;

    /// The end of attempt 1, after which `turn` comes.
    fn ending(next: Next, error: Class, turn: Turn) -> Ending {
        let failure = json!({ "error": error, "message": "in words", "attempt": 1 });
        Ending {
            next,
            turn: Some(turn),
            reported: false,
            result: None,
            failure: serde_json::from_value(failure).unwrap(),
        }
    }

    #[test]
    fn each_way_to_go_on_has_its_words() {
        let turn = |attempt, start, provider| Turn { attempt, start, ..Turn::first(provider) };
        let spot = turn(1, 2, Provider::Spot);
        let on_demand = turn(1, 3, Provider::OnDemand);
        let cases = [
            (
                Next::Dispatch,
                Class::SpotInterrupted,
                spot,
                "Spot capacity was taken back; start 2 waits for its container",
            ),
            (
                Next::Relaunch,
                Class::SpotInterrupted,
                on_demand,
                "Spot capacity was taken back; start 3 moves to on-demand capacity",
            ),
            (
                Next::Relaunch,
                Class::NoCapacity,
                on_demand,
                "Fargate has no capacity; start 3 moves to on-demand capacity",
            ),
            (
                Next::Relaunch,
                Class::QuotaExceeded,
                on_demand,
                "the quota of Fargate's vCPUs is used up; start 3 moves to on-demand capacity",
            ),
            (
                Next::Dispatch,
                Class::QuotaExceeded,
                Turn { queue_seconds: 3600, ..spot },
                "the quota of Fargate's vCPUs is used up; start 2 waits for room",
            ),
            (
                Next::Relaunch,
                Class::StartFailed,
                spot,
                "the container never came; start 2 gets a new service",
            ),
            (
                Next::Relaunch,
                Class::HeartbeatLost,
                turn(2, 4, Provider::OnDemand),
                "the container stopped reporting; attempt 2 gets a new service",
            ),
            (Next::Dispatch, Class::Internal, spot, "in words; start 2 waits for its container"),
        ];
        for (next, class, turn, words) in cases {
            assert_eq!(told(&ending(next, class, turn)).as_deref(), Some(words));
        }
    }

    #[test]
    fn a_job_that_is_over_does_not_go_on() {
        let over = Ending {
            turn: None,
            ..ending(Next::Conclude, Class::CommandFailed, Turn::first(Provider::Spot))
        };
        assert_eq!(told(&over), None);
    }
}
