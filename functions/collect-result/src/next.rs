//! What comes after a start that failed: the class decides.

use mayfly_common::attempt::Next;
use mayfly_common::error::Class;
use mayfly_common::job::Capacity;
use mayfly_common::names::LAUNCHES_LIMIT;
use mayfly_common::plan::Plan;
use mayfly_common::turn::{LOSSES_LIMIT, Provider, Turn};

/// The Spot tasks that a job of the capacity `spot-then-on-demand` loses before it goes on demand.
const LOSSES_ON_SPOT: u32 = 2;

/// The turn after `turn`, and how to get there; none where the job is over.
pub fn after(plan: &Plan, turn: Turn, class: Class) -> Option<(Next, Turn)> {
    let again = Turn { start: turn.start + 1, awaits_quota: false, ..turn };
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
        Class::QuotaExceeded if plan.waits_for_quotas() => {
            (Next::Dispatch, Turn { awaits_quota: true, ..again })
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
