//! That two jobs which wait for room can never wait for each other.

use std::time::Duration;

use super::{Seen, creations, refusals};

/// The calls that take what is scarce, in the order in which all jobs take it (docs/ARCHITECTURE.md, "Invariants"). The service
/// takes the vCPUs.
const ORDER: [&str; 6] = [
    "CreateVpc",
    "CreateInternetGateway",
    "CreateEgressOnlyInternetGateway",
    "AllocateAddress",
    "CreateNatGateway",
    "CreateService",
];

/// How long a job may hold an address beside the gateway that it has just asked for: the branches of a Parallel go on side by
/// side, and what one that was cut off may still take is given back when its function is over for certain.
const SIDE_BY_SIDE: Duration = Duration::from_mins(1);

fn place(action: &str) -> Option<usize> {
    ORDER.iter().position(|one| *one == action)
}

/// Who is refused for want of room holds nothing that comes later.
pub(super) fn taken_in_order(seen: &Seen<'_>, violations: &mut Vec<String>) {
    for refusal in refusals(seen) {
        let Some(asked) = place(&refusal.action) else { continue };
        for creation in creations(seen) {
            let is_held =
                creation.at + SIDE_BY_SIDE < refusal.at && creation.gone.is_none_or(|gone| gone > refusal.at);
            if is_held && place(&creation.action).is_some_and(|held| held > asked) {
                violations.push(format!(
                    "{} was refused, and the job held {} of {}",
                    refusal.action, creation.id, creation.action
                ));
            }
        }
    }
}
