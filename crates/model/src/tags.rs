//! The tags that every resource of a job carries from the moment it exists.

use std::collections::BTreeMap;

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

use crate::names::Names;

/// The stack that made the resource.
pub const STACK: &str = "mayfly:stack";
/// The job's id, see [`job_id`](crate::names::job_id).
pub const JOB: &str = "mayfly:job";
/// The ARN of the job's execution, with `_` for what no tag can hold.
pub const EXECUTION: &str = "mayfly:execution";
/// When the resource is overdue, RFC 3339 UTC.
pub const EXPIRY: &str = "expiry";
/// Who submitted the job.
pub const USER: &str = "user";

/// Whether every service that Mayfly tags takes `c` in a tag's value. A letter is what Unicode's category says, so a
/// combining mark is none.
/// Source: CloudFormation template reference, `AWS::ECS::Service Tag`, pattern: `\p{L}`, `\p{Z}`, `\p{N}` and
/// `_.:/=+-@`, read in November 2026; EC2 user guide, "Tag your Amazon EC2 resources", tag restrictions.
pub fn is_of_value(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    " _.:/=+-@".contains(c)
        || GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::Number).contains(category)
}

/// Tag keys and values.
pub type Tags = BTreeMap<String, String>;

/// The job of one stack that resources belong to.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// The job's id.
    pub job: &'a str,
}

impl Owner<'_> {
    /// Whether these are the tags of a resource of the job. Compared here, exactly, because EC2's filters take `*` and
    /// `?`.
    pub fn owns<'t>(&self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> bool {
        let (mut right_stack, mut right_job) = (false, false);
        for (key, value) in tags {
            right_stack |= key == STACK && value == self.stack;
            right_job |= key == JOB && value == self.job;
        }
        right_stack && right_job
    }

    /// The names of what the job has.
    pub fn names(&self) -> Names {
        Names::new(self.stack, self.job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_stack_and_job_match() {
        let tags = [(STACK, "mayfly"), (JOB, "a"), ("team", "media")];
        assert!(Owner { stack: "mayfly", job: "a" }.owns(tags));
        for (stack, job) in [("mayfly", "*"), ("may?ly", "a"), ("mayfly", "b"), ("other", "a")] {
            assert!(!Owner { stack, job }.owns(tags), "{stack} {job}");
        }
        assert!(!Owner { stack: "mayfly", job: "a" }.owns([(STACK, "mayfly")]));
    }
}
