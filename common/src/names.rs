//! One scheme for all names: a readable slice of the job's id and eight hex digits of a hash, so that every length
//! and character limit of AWS holds for a 64-character id, and no two jobs or stacks share a name.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// The longest name of an SQS queue.
/// Source: SQS API Reference, `CreateQueue`, `QueueName`.
const QUEUE_NAME_LIMIT: usize = 80;

/// The characters of a mailbox's random part: 128 bits in base 32.
pub const SECRET_LENGTH: usize = 26;

/// The longest stack name that leaves room for the rest of a mailbox's name.
pub const STACK_LIMIT: usize = QUEUE_NAME_LIMIT - (1 + 8) - (1 + SECRET_LENGTH);

/// The most services that one job may start, one after another; as many as one `DescribeServices` call takes.
/// Source: ECS API Reference, `DescribeServices`, `services`.
pub const LAUNCHES_LIMIT: u32 = 10;

/// The names of everything that belongs to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    stack: String,
    job: String,
    slug: String,
    hash: String,
}

impl Names {
    /// The names of `job` in `stack`.
    pub fn new(stack: &str, job: &str) -> Self {
        let digest = Sha256::digest(format!("{stack}/{job}"));
        let hash = hex::encode(&digest[..4]);
        let slug: String = job.chars().take(20).collect();
        Self { stack: stack.to_owned(), job: job.to_owned(), slug, hash }
    }

    /// The readable name: log streams begin with it, and every other name contains it.
    pub fn base(&self) -> String {
        format!("{}-{}", self.slug, self.hash)
    }

    /// The task definition's family.
    pub fn family(&self) -> String {
        format!("{}-{}", self.stack, self.base())
    }

    /// The name of the job's own cluster.
    pub fn cluster(&self) -> String {
        self.family()
    }

    /// The name of the job's own security group, which may not begin with `sg-`.
    /// Source: EC2 API Reference, `CreateSecurityGroup`, `GroupName`.
    pub fn group(&self) -> String {
        format!("mayfly-{}", self.base())
    }

    /// The service's name; another change of capacity is another `launch`, counted from 1, since the name of a
    /// service that is draining cannot be used.
    pub fn service(&self, launch: u32) -> String {
        format!("{}-{launch}", self.family())
    }

    /// The names of all services that the job can have.
    pub fn services(&self) -> Vec<String> {
        (1..=LAUNCHES_LIMIT).map(|launch| self.service(launch)).collect()
    }

    /// The mailbox's name; `secret` is random, because whoever can guess the name can read the mail.
    pub fn mailbox(&self, secret: &str) -> String {
        format!("{}{secret}", self.mailbox_prefix())
    }

    /// What the name of the job's mailbox begins with.
    pub fn mailbox_prefix(&self) -> String {
        let room = STACK_LIMIT.saturating_sub(self.stack.len());
        let slug: String = self.slug.chars().take(room.saturating_sub(1)).collect();
        let dash = if slug.is_empty() { "" } else { "-" };
        format!("{}-{slug}{dash}{}-", self.stack, self.hash)
    }

    /// The name of the teardown that the job's own execution calls. It has the whole id: for 90 days after its end an
    /// execution's name cannot be used again, and that is too long for a hash of 32 bits.
    /// Source: Step Functions API Reference, `StartExecution`, `name`.
    pub fn teardown(&self) -> String {
        format!("{}-run-job", self.job)
    }

    /// The name of the teardown that a sweep at this time starts: two sweeps of one hour start one teardown, and one that
    /// has failed is tried again. There is no room for the year, and after 90 days no need of it.
    pub fn sweep(&self, at: Timestamp) -> String {
        format!("{}-sweep-{}", self.job, at.strftime("%m-%dT%H"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_within_every_limit_for_the_longest_ids() {
        let names = Names::new(&"s".repeat(STACK_LIMIT), &"j".repeat(64));
        assert_eq!(names.mailbox(&"x".repeat(SECRET_LENGTH)).len(), QUEUE_NAME_LIMIT);
        assert!(names.family().len() <= 255);
        assert!(names.services().iter().all(|service| service.len() <= 255));
        assert!(names.cluster().len() <= 255);
        assert!(names.group().len() <= 255);
        assert!(names.teardown().len() <= 80);
        assert!(names.sweep(Timestamp::MAX).len() <= 80);
    }

    #[test]
    fn a_short_stack_leaves_room_for_the_job() {
        let names = Names::new("mayfly", "my-job");
        let mailbox = names.mailbox(&"x".repeat(SECRET_LENGTH));
        assert!(mailbox.starts_with("mayfly-my-job-"), "{mailbox}");
        assert!(mailbox.len() <= QUEUE_NAME_LIMIT);
    }

    #[test]
    fn two_stacks_and_two_jobs_never_share_a_name() {
        let all = [Names::new("a", "b"), Names::new("a", "c"), Names::new("b", "b"), Names::new("a-b", "")];
        for (i, one) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(one.mailbox_prefix(), other.mailbox_prefix());
                assert_ne!(one.base(), other.base());
            }
        }
    }

    #[test]
    fn jobs_that_differ_only_in_their_tail_differ_in_name() {
        let (one, other) = (
            Names::new("s", &format!("{}1", "j".repeat(60))),
            Names::new("s", &format!("{}2", "j".repeat(60))),
        );
        assert_ne!(one.base(), other.base());
        assert!(one.teardown().ends_with("j1-run-job") && other.teardown().ends_with("j2-run-job"));
    }
}
