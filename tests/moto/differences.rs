//! The differences that are meant, each with AWS's word on it. What moto has and botocore's model has not needs no
//! entry, since the model settles it; what the stand-ins have and the model has not is always an error.

mod ec2;
mod ecs;
mod elb;

use std::collections::BTreeSet;

use local_aws::glob::Glob;

use crate::compare::Difference;
use crate::conversation::Step;

/// A difference that is meant, in each of the `operations` at each of the places `at`. `*` stands for any characters
/// in a place, the case and the two answers.
struct Meant {
    operations: &'static [&'static str],
    case: &'static str,
    at: &'static [&'static str],
    moto: &'static str,
    ours: &'static str,
    /// Who says that ours is right.
    source: &'static str,
}

type Names = &'static [&'static str];

/// Fields that the stand-in leaves out: no caller reads them, and AWS promises none.
const fn left_out(operations: Names, at: Names, source: &'static str) -> Meant {
    Meant { operations, case: "*", at, moto: "*", ours: "nothing", source }
}

/// Fields that AWS gives and moto does not.
const fn given(operations: Names, at: Names, source: &'static str) -> Meant {
    Meant { operations, case: "*", at, moto: "nothing", ours: "*", source }
}

/// One call that ends otherwise.
const fn ends(
    operations: Names,
    case: &'static str,
    moto: &'static str,
    ours: &'static str,
    source: &'static str,
) -> Meant {
    Meant { operations, case, at: &["outcome"], moto, ours, source }
}

/// What moto answers when it fails itself.
const CRASH: &str = "500 without a code";

fn meant() -> impl Iterator<Item = &'static Meant> {
    [ec2::fields::MEANT, ec2::MEANT, ecs::MEANT, elb::MEANT].into_iter().flatten()
}

/// The differences that have been excused so far.
#[derive(Debug, Default)]
pub struct Excuses {
    /// The index of the entry, and what of its operations and places has occurred.
    used: BTreeSet<(usize, &'static str)>,
}

impl Excuses {
    /// Whether the difference is meant.
    pub fn excuse(&mut self, step: &Step, found: &Difference) -> bool {
        let fits = |pattern: &str, text: &str| {
            pattern == text || (pattern.contains('*') && Glob::new(pattern).matches(text))
        };
        let excuse = meant().enumerate().find_map(|(index, meant)| {
            let fitting = meant.operations.contains(&step.operation)
                && fits(meant.case, step.case)
                && fits(meant.moto, &found.moto)
                && fits(meant.ours, &found.ours);
            let at = meant.at.iter().find(|at| fitting && fits(at, &found.at))?;
            Some([(index, step.operation), (index, *at)])
        });
        self.used.extend(excuse.into_iter().flatten());
        excuse.is_some()
    }

    /// A line for each operation and place of an entry that has not occurred.
    pub fn stale(&self) -> Vec<String> {
        let parts = meant().enumerate().flat_map(|(index, meant)| {
            meant.operations.iter().chain(meant.at).map(move |part| (index, meant, *part))
        });
        parts
            .filter(|(index, _, part)| !self.used.contains(&(*index, *part)))
            .map(|(_, meant, part)| format!("{part} no longer differs: {} ({})", meant.case, meant.source))
            .collect()
    }
}
