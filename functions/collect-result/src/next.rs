//! What comes after a start that failed: the class decides.

use jiff::SignedDuration;
use mayfly_model::class::Class;
use mayfly_model::ending::Next;
use mayfly_model::job::Capacity;
use mayfly_model::names::LAUNCHES_LIMIT;
use mayfly_model::plan::Plan;
use mayfly_model::turn::{LOSSES_LIMIT, Provider, Turn};

/// The Spot tasks that a job of the capacity `spot-then-on-demand` loses before it goes on demand.
const LOSSES_ON_SPOT: u32 = 2;

/// The longest that one start waits for a quota besides the plan's heartbeat, in seconds. Each wait takes about 20 of the
/// 25,000 events that an execution may have, and the container is sent one order for each.
/// Source: Step Functions developer guide, "Service quotas", maximum execution history size.
const QUEUE_SECONDS_LIMIT: u64 = 3600;

/// The turn after `turn`, and how to get there; none where the job is over. A service that ECS has given up starts no task
/// any more, so that the job has to have another.
pub fn after(plan: &Plan, turn: Turn, class: Class, given_up: bool) -> Option<(Next, Turn)> {
    let again = Turn { start: turn.start + 1, queue_seconds: 0, ..turn };
    let relaunched = Turn { launch: turn.launch + 1, ..again };
    let on_demand = (plan.capacity == Capacity::SpotThenOnDemand && turn.provider == Provider::Spot)
        .then_some(Turn { provider: Provider::OnDemand, ..relaunched });
    let next = match class {
        Class::SpotInterrupted => {
            let losses = turn.losses + 1;
            match on_demand {
                Some(on_demand) if losses >= LOSSES_ON_SPOT => (Next::Relaunch, Turn { losses, ..on_demand }),
                _ if losses <= LOSSES_LIMIT => (Next::Dispatch, Turn { losses, ..again }),
                _ => return None,
            }
        }
        Class::NoCapacity | Class::QuotaExceeded if on_demand.is_some() => (Next::Relaunch, on_demand?),
        // ECS goes on trying, and nothing else of the job has to be made anew.
        Class::QuotaExceeded if plan.waits_for_quotas(jiff::Timestamp::now()) => {
            let (next, turn) = if given_up { (Next::Relaunch, relaunched) } else { (Next::Dispatch, again) };
            (
                next,
                Turn { queue_seconds: queue_seconds(plan.queue_time_left(jiff::Timestamp::now())), ..turn },
            )
        }
        // About one start in a hundred never comes.
        Class::StartFailed if turn.failed_starts == 0 => {
            (Next::Relaunch, Turn { failed_starts: 1, ..relaunched })
        }
        // The container may still work: its service must be gone before another attempt begins.
        Class::HeartbeatLost | Class::NoCapacity if turn.attempt < plan.attempts => {
            (Next::Relaunch, Turn { attempt: turn.attempt + 1, ..relaunched })
        }
        _ => return None,
    };
    (next.1.launch <= LAUNCHES_LIMIT).then_some(next)
}

/// How long the next start waits for its quota, so that the last one ends with the job's queue.
fn queue_seconds(left: SignedDuration) -> u64 {
    u64::try_from(left.as_secs()).unwrap_or_default().clamp(1, QUEUE_SECONDS_LIMIT)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Of a start that is waited for in vain: DispatchJob's six, CollectResult's five, and two each of AllowForStart,
    /// NoteSilence, DecideNext and TakeTurn.
    const EVENTS_PER_START: u64 = 6 + 5 + 4 * 2;

    #[test]
    fn the_longest_queue_leaves_most_of_an_execution_s_events() {
        let mut left = SignedDuration::from_hours(7 * 24);
        let mut starts = 0;
        while left.is_positive() {
            left -= SignedDuration::from_secs(queue_seconds(left).try_into().unwrap());
            starts += 1;
        }
        assert_eq!((starts, left), (168, SignedDuration::ZERO));
        assert!(starts * EVENTS_PER_START < 25_000 / 5);
    }

    #[test]
    fn a_service_that_ecs_has_given_up_is_waited_for_no_more() {
        let mut sample: Value =
            serde_json::from_str(include_str!("../../../events/collect-result.json")).unwrap();
        sample["plan"]["queueUntil"] = "2100-01-01T00:00:00Z".into();
        let plan: Plan = serde_json::from_value(sample["plan"].take()).unwrap();
        let turn = Turn::first(Provider::OnDemand);
        for (given_up, next, launch) in [(false, Next::Dispatch, 1), (true, Next::Relaunch, 2)] {
            let queue_seconds = QUEUE_SECONDS_LIMIT;
            let after_quota = Some((next, Turn { start: 2, launch, queue_seconds, ..turn }));
            assert_eq!(after(&plan, turn, Class::QuotaExceeded, given_up), after_quota);
            let after_no_room = Some((Next::Relaunch, Turn { start: 2, launch: 2, attempt: 2, ..turn }));
            assert_eq!(after(&plan, turn, Class::NoCapacity, given_up), after_no_room);
        }
    }
}
