//! How a start ended and what comes next: what collect-result tells the state machine.

use serde::{Deserialize, Serialize};

use crate::outcome::End;
use crate::turn::Turn;

/// What collect-result tells the state machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// What the state machine's choice looks at.
    #[serde(flatten)]
    pub next: Next,
    /// Whether the container itself has said so; what others say of it gives way to a report that comes late.
    pub reported: bool,
    /// What the job made, or why the start failed.
    #[serde(flatten)]
    pub end: End,
}

/// What comes after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "next", content = "turn", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Next {
    /// The job is over.
    Conclude,
    /// Another order to the same service, which starts its next container by itself.
    Dispatch(Turn),
    /// Another service: the container of this one must not work on, or the capacity changes.
    Relaunch(Turn),
}

impl Next {
    /// The turn that comes next, unless the job is over.
    pub fn turn(self) -> Option<Turn> {
        match self {
            Self::Conclude => None,
            Self::Dispatch(turn) | Self::Relaunch(turn) => Some(turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::class::Class;
    use crate::outcome::JobFailure;
    use crate::turn::Provider;

    #[test]
    fn the_state_machine_finds_the_turn_beside_what_comes_next() {
        let failure = JobFailure::of_job(Class::Internal, "x".into());
        let end = End::Failed(failure.clone());
        for (next, name) in [
            (Next::Conclude, "CONCLUDE"),
            (Next::Dispatch(Turn::first(Provider::Spot)), "DISPATCH"),
            (Next::Relaunch(Turn::first(Provider::OnDemand)), "RELAUNCH"),
        ] {
            let ending = Ending { next, reported: false, end: end.clone() };
            let json = serde_json::to_value(&ending).unwrap();
            let mut expected = json!({ "next": name, "reported": false, "failure": failure });
            if let Some(turn) = next.turn() {
                expected["turn"] = json!(turn);
            }
            assert_eq!(json, expected);
            assert_eq!(serde_json::from_value::<Ending>(json).unwrap(), ending);
        }
    }
}
