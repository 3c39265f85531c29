//! The tags that every resource of a job carries from the moment it exists.

use std::collections::BTreeMap;

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};
use jiff::Timestamp;

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

/// What the job is for; only a service's resources have it, with [`SERVICE`].
pub const PURPOSE: &str = "mayfly:purpose";
/// The value of [`PURPOSE`].
pub const SERVICE: &str = "service";

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
    /// Whether these are the tags of a resource of the job.
    pub fn owns<'t>(&self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> bool {
        Claim::read(self.stack, tags).is_some_and(|claim| claim.job == self.job)
    }

    /// The names of what the job has.
    pub fn names(&self) -> Names {
        Names::new(self.stack, self.job)
    }
}

/// A resource and its tags.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// Its ARN, id or URL.
    pub id: String,
    /// Its tags.
    pub tags: Tags,
}

impl Tagged {
    /// The resource `id` with these tags.
    pub fn new<'t>(id: &str, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self { id: id.to_owned(), tags: tags.collect() }
    }
}

/// Whose a resource of a stack is, as its tags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'t> {
    /// The job's id; what it is to be, for anybody may tag.
    pub job: &'t str,
    /// The ARN of the job's execution, with `_` for what no tag can hold.
    pub execution: Option<&'t str>,
    /// When the resource is overdue.
    pub expiry: Option<Timestamp>,
    /// Whether the job is a service.
    pub is_service: bool,
}

impl<'t> Claim<'t> {
    /// Reads a resource's tags; none where it is not of the stack, or of no job. Compared here, exactly, because EC2's
    /// filters take `*` and `?`.
    pub fn read(stack: &str, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> Option<Self> {
        let tags: BTreeMap<&str, &str> = tags.into_iter().collect();
        let job = *tags.get(JOB).filter(|_| tags.get(STACK) == Some(&stack))?;
        let expiry = tags.get(EXPIRY).and_then(|expiry| expiry.parse().ok());
        let is_service = tags.get(PURPOSE) == Some(&SERVICE);
        Some(Self { job, execution: tags.get(EXECUTION).copied(), expiry, is_service })
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
