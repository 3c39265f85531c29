//! What comes after a start that failed: the class decides.

use jiff::{SignedDuration, Timestamp};
use mayfly_model::class::Class;
use mayfly_model::ending::Next;
use mayfly_model::job::Capacity;
use mayfly_model::names::LAUNCHES_LIMIT;
use mayfly_model::plan::Plan;
use mayfly_model::turn::{Provider, SPOT_LOSSES_LIMIT, Turn};

/// The Spot tasks that a job of the capacity `spot-then-on-demand` loses before it goes on demand.
const SPOT_LOSSES_BEFORE_ON_DEMAND: u32 = 2;

/// The longest that one start waits for a quota besides the plan's heartbeat, in seconds. Each wait takes about 20 of the
/// 25,000 events that an execution may have, and the container is sent one order for each.
/// Source: Step Functions developer guide, "Service quotas", maximum execution history size.
const QUEUE_SECONDS_LIMIT: u64 = 3600;

/// What comes after the start `turn`. A service that ECS has given up starts no task any more, so that the job has to have
/// another.
pub fn after(plan: &Plan, turn: Turn, class: Class, given_up: bool, now: Timestamp) -> Next {
    let again = Turn { start: turn.start + 1, queue_seconds: 0, ..turn };
    let relaunched = Turn { launch: turn.launch + 1, ..again };
    let on_demand = (plan.capacity == Capacity::SpotThenOnDemand && turn.provider == Provider::Spot)
        .then_some(Turn { provider: Provider::OnDemand, ..relaunched });
    let losses = turn.losses + 1;
    let next = match (class, on_demand) {
        (Class::SpotInterrupted, Some(on_demand)) if losses >= SPOT_LOSSES_BEFORE_ON_DEMAND => {
            Next::Relaunch(Turn { losses, ..on_demand })
        }
        (Class::SpotInterrupted, _) if losses <= SPOT_LOSSES_LIMIT => {
            Next::Dispatch(Turn { losses, ..again })
        }
        (Class::NoCapacity | Class::QuotaExceeded, Some(on_demand)) => Next::Relaunch(on_demand),
        // ECS goes on trying, and nothing else of the job has to be made anew.
        (Class::QuotaExceeded, None) if plan.waits_for_quotas(now) => {
            let queue_seconds = queue_seconds(plan.queue_time_left(now));
            if given_up {
                Next::Relaunch(Turn { queue_seconds, ..relaunched })
            } else {
                Next::Dispatch(Turn { queue_seconds, ..again })
            }
        }
        // About one start in a hundred never comes.
        (Class::StartFailed, _) if turn.failed_starts == 0 => {
            Next::Relaunch(Turn { failed_starts: 1, ..relaunched })
        }
        // The container may still work: its service must be gone before another attempt begins.
        (Class::HeartbeatLost | Class::NoCapacity, _) if turn.attempt < plan.attempts => {
            Next::Relaunch(Turn { attempt: turn.attempt + 1, ..relaunched })
        }
        _ => Next::Conclude,
    };
    let has_room = next.turn().is_some_and(|turn| turn.launch <= LAUNCHES_LIMIT);
    if has_room { next } else { Next::Conclude }
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
        let mut plan: Value = serde_json::from_str(include_str!("../../../events/plan.public.json")).unwrap();
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        plan["queueUntil"] = "2031-01-01T00:00:00Z".into();
        let plan: Plan = serde_json::from_value(plan).unwrap();
        let turn = Turn::first(Provider::OnDemand);
        let again = Turn { start: 2, queue_seconds: QUEUE_SECONDS_LIMIT, ..turn };
        for (given_up, after_quota) in
            [(false, Next::Dispatch(again)), (true, Next::Relaunch(Turn { launch: 2, ..again }))]
        {
            assert_eq!(after(&plan, turn, Class::QuotaExceeded, given_up, now), after_quota);
            let after_no_room = Next::Relaunch(Turn { start: 2, launch: 2, attempt: 2, ..turn });
            assert_eq!(after(&plan, turn, Class::NoCapacity, given_up, now), after_no_room);
        }
    }
}
