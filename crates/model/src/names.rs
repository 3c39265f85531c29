//! One scheme for all names: a readable slice of the job's id and eight hex digits of a hash, so that every length
//! and character limit of AWS holds for a 64-character id, and no two jobs or stacks share a name.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use crate::shown::shown;

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

/// What the names of the command's variables begin with in a container's environment, so that none of them is one that
/// the worker, or a library of its, goes by.
pub const COMMAND_VARIABLE: &str = "MAYFLY_VAR_";

/// The container of a service's tasks; its log streams have the name in theirs.
pub const SERVICE_CONTAINER: &str = "service";

/// The container of a job's tasks in which the worker runs the command.
pub const WORKER_CONTAINER: &str = "worker";

/// The one before it, which puts the worker into a volume of both.
pub const INSTALL_CONTAINER: &str = "install-worker";

/// What the names of load balancers and target groups begin with.
pub const BALANCING: &str = "mayfly-";

/// The longest id of a job: with it every name below keeps within AWS's limits.
const ID_LIMIT: usize = 64;

/// The hexadecimal digits at the end of an id that was derived: 80 bits, so that nobody finds two names with one id, and
/// as many as no hash, UUID or object id has that a name is likely to end with.
const DIGITS: usize = 20;

/// The id of the job whose execution is called `name`.
///
/// A name that can be an id is the id. Of any other the id is a readable slice, `-` and 20 hexadecimal digits of the
/// name's SHA-256. An id is its own id, so whoever takes a name or an id applies this, and need not know which it is.
pub fn job_id(name: &str) -> String {
    if (1..=ID_LIMIT).contains(&name.len()) && name.chars().all(is_of_id) {
        return name.to_owned();
    }
    let slice = name.chars().take(ID_LIMIT - 1 - DIGITS).map(|c| if is_of_id(c) { c } else { '_' });
    let digest = hex::encode(Sha256::digest(name));
    format!("{}-{}", slice.collect::<String>(), &digest[..DIGITS])
}

/// The id of a job that is being started as the execution `name`.
///
/// # Errors
/// In words, for a name that looks like an id of another name: two jobs could then have one id. Such an execution is no
/// job, and has nothing.
pub fn new_job_id(name: &str) -> Result<String, String> {
    if is_derived(name) {
        return Err(format!(
            "the execution's name: given {name}; allowed: any but one that ends with - and {DIGITS} hexadecimal digits, \
             as the ids do that long or unusual names are given; add a letter"
        ));
    }
    Ok(job_id(name))
}

/// Whether `text` has the form of an id that was derived from a name; only then the execution of the job with this id is
/// called something else.
pub fn is_derived(text: &str) -> bool {
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    text.len() <= ID_LIMIT
        && text.chars().all(is_of_id)
        && text.rsplit_once('-').is_some_and(|(_, end)| end.len() == DIGITS && end.chars().all(is_digit))
}

/// Whether an execution can be called `name`.
///
/// # Errors
/// In words.
/// Source: Step Functions API Reference, `StartExecution`, `name`.
pub fn check_execution_name(name: &str) -> Result<(), String> {
    let is_right = |c: char| !c.is_whitespace() && !c.is_control() && !"<>{}[]?*\"#%\\^|~`$&,;:/".contains(c);
    if (1..=80).contains(&name.chars().count()) && name.chars().all(is_right) {
        return Ok(());
    }
    Err(format!(
        "the execution's name: given {}; allowed: 1 to 80 characters without white space and none of \
         < > {{ }} [ ] ? * \" # % \\ ^ | ~ ` $ & , ; : /",
        shown(name)
    ))
}

fn is_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// A field that takes a job's id, or the name of its execution, and holds the id.
///
/// # Errors
/// Where there is no text.
pub fn deserialize_job_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|name| job_id(&name))
}

/// The names of everything that belongs to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    stack: String,
    job: String,
    slug: String,
    hash: String,
}

impl Names {
    /// The names of the job with the id `job` in `stack`.
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

    /// The name of the security group of the job's load balancer.
    pub fn load_balancer_group(&self) -> String {
        format!("{}-balancer", self.group())
    }

    /// The name of the security group of the job's VPC endpoints.
    pub fn endpoint_group(&self) -> String {
        format!("{}-endpoints", self.group())
    }

    /// The name of the job's load balancer: 32 letters, digits and hyphens at most, none of which a job's id keeps to.
    /// Source: Elastic Load Balancing API Reference, `CreateLoadBalancer`, `Name`.
    pub fn load_balancer(&self) -> String {
        format!("{BALANCING}{}", self.hash)
    }

    /// The name of the target group of a port, which has the same limits.
    pub fn target_group(&self, port: u16) -> String {
        format!("{}-{port}", self.load_balancer())
    }

    /// The name of the service of a launch, which are counted from 1. Each has its own, since that of a service that is
    /// draining cannot be used.
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
    use std::collections::BTreeSet;

    use super::*;

    /// Of an execution that an EventBridge rule has started.
    const OF_RULE: &str = "6f0f9b70-6d6c-4b3b-9d8e-0a1b2c3d4e5f_0c7d1c52-3b0e-4f6e-8a53-5d3f1f9a7b21";

    #[test]
    fn every_name_that_step_functions_takes_has_an_id_which_is_its_own() {
        for name in
            [OF_RULE, "v1.2.3", "Übung", "it's(1)", "\u{1f99f}", ".", "-", &"n".repeat(80), &"ä".repeat(80)]
        {
            check_execution_name(name).unwrap();
            let id = new_job_id(name).unwrap();
            assert!((1..=ID_LIMIT).contains(&id.len()) && id.chars().all(is_of_id), "{name}: {id}");
            assert_eq!(job_id(&id), id, "{name}");
            assert_eq!(is_derived(&id), id != name, "{name}: {id}");
        }
        assert_eq!(job_id(OF_RULE), "6f0f9b70-6d6c-4b3b-9d8e-0a1b2c3d4e5f_0c7d1c-28f14c906afa6ef947f9");
        assert_eq!(job_id("v1.2.3"), "v1_2_3-e3cad1a6f905017fd828");
    }

    #[test]
    fn a_name_that_is_an_id_stays() {
        for name in ["my-job", "a", "_", &"j".repeat(64), "6f0f9b70-6d6c-4b3b-9d8e-0a1b2c3d4e5f"] {
            assert_eq!(new_job_id(name).as_deref(), Ok(name));
        }
    }

    #[test]
    fn names_that_differ_in_a_character_differ_in_their_ids() {
        let long = "n".repeat(79);
        let names = ["a.b", "a-b", "a,b", "ä", "a\u{308}", "Ä", &format!("{long}1"), &format!("{long}2")];
        let ids: BTreeSet<_> = names.iter().map(|name| job_id(name)).collect();
        assert_eq!(ids.len(), names.len(), "{ids:?}");
    }

    #[test]
    fn a_name_in_the_form_of_a_derived_id_is_refused_with_a_word() {
        let id = job_id("v1.2.3");
        let refused = new_job_id(&id).unwrap_err();
        assert!(refused.contains(&id) && refused.contains("add a letter"), "{refused}");
        assert_eq!(new_job_id(&format!("{id}x")), Ok(format!("{id}x")));
        // Names that end with other hashes are as good as any.
        for digits in [7, 12, 16, 32, 40] {
            assert!(
                new_job_id(&format!("build-{}", "0123456789abcdef".repeat(4).split_at(digits).0)).is_ok()
            );
        }
    }

    #[test]
    fn what_step_functions_refuses_is_no_name() {
        for name in ["", "a b", "a/b", "*", "a:b", "a\u{7}", &"n".repeat(81)] {
            let refused = check_execution_name(name).unwrap_err();
            assert!(refused.starts_with("the execution's name: given "), "{refused}");
        }
    }

    #[test]
    fn names_keep_within_every_limit_for_the_longest_ids() {
        let names = Names::new(&"s".repeat(STACK_LIMIT), &"j".repeat(64));
        assert_eq!(names.mailbox(&"x".repeat(SECRET_LENGTH)).len(), QUEUE_NAME_LIMIT);
        assert!(names.family().len() <= 255);
        assert!(names.services().iter().all(|service| service.len() <= 255));
        assert!(names.cluster().len() <= 255);
        assert!(names.group().len() <= 255);
        assert!(names.load_balancer_group().len() <= 255 && names.endpoint_group().len() <= 255);
        assert!(names.load_balancer().len() <= 32 && names.target_group(u16::MAX).len() <= 32);
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
