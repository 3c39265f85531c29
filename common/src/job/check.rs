//! The rules of the job document that its types cannot express.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use url::Url;

use super::{Container, JobDocument, Network, NetworkMode, S3Uri, Task};
use crate::shown::shown;
use crate::tags;

/// Files in and out together.
const FILES_LIMIT: usize = 100;
/// Seven days.
const TIMEOUT_MINUTES_LIMIT: u32 = 7 * 24 * 60;
const ATTEMPTS_LIMIT: u32 = 10;
const QUEUE_MINUTES_LIMIT: u32 = 7 * 24 * 60;
/// Source: ECS API Reference, `AwsVpcConfiguration`, `subnets`.
const SUBNETS_LIMIT: usize = 16;
/// Source: ECS API Reference, `AwsVpcConfiguration`, `securityGroups`.
const SECURITY_GROUPS_LIMIT: usize = 5;
/// Well below the 60 rules that a security group may have.
/// Source: VPC user guide, "Amazon VPC quotas".
const EGRESS_PORTS_LIMIT: usize = 20;
/// AWS allows 50 tags; Mayfly's own and some to spare are kept back.
const TAGS_LIMIT: usize = 40;

/// What memory in MiB a number of CPU units may have.
#[derive(Clone, Copy)]
enum Memory {
    /// The least, the greatest and the step.
    Steps(u32, u32, u32),
    /// These alone.
    OneOf([u32; 3]),
}

/// Fargate's sizes: CPU units and their memory.
/// Source: ECS developer guide, "Task CPU and memory" (task-cpu-memory-error), for 32 vCPU as of June 2026.
const SIZES: [(u32, Memory); 8] = [
    (256, Memory::Steps(512, 2048, 1024)),
    (512, Memory::Steps(1024, 4096, 1024)),
    (1024, Memory::Steps(2048, 8192, 1024)),
    (2048, Memory::Steps(4096, 16384, 1024)),
    (4096, Memory::Steps(8192, 30720, 1024)),
    (8192, Memory::Steps(16384, 61440, 4096)),
    (16384, Memory::Steps(32768, 122_880, 8192)),
    (32768, Memory::OneOf([61440, 122_880, 249_856])),
];

type Check = Result<(), String>;

/// Whether `name` can be a bucket's.
/// Source: S3 user guide, "General purpose bucket naming rules".
pub fn is_s3_bucket(name: &str) -> bool {
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (3..=63).contains(&name.len()) && name.chars().all(right)
}

pub(super) fn check(job: &JobDocument, buckets: &[String]) -> Check {
    if let Some(network) = &job.network {
        check_network(network)?;
    }
    if let Some(container) = &job.container {
        check_container(container)?;
    }
    check_task(&job.task, buckets)?;
    check_range("timeoutMinutes", job.timeout_minutes, 1, TIMEOUT_MINUTES_LIMIT)?;
    check_range("attempts", job.attempts, 1, ATTEMPTS_LIMIT)?;
    check_range("queueMinutes", job.queue_minutes, 0, QUEUE_MINUTES_LIMIT)?;
    if let Some(user) = &job.user {
        require(!user.is_empty() && is_tag_text(user, 256), "user", user, TAG_VALUE)?;
    }
    check_tags(&job.tags)
}

fn check_network(network: &Network) -> Check {
    let Network { mode, subnets, security_groups, assign_public_ip, egress, egress_ports } = network;
    let of_modes = [
        ("subnets", subnets.is_some(), NetworkMode::Existing),
        ("securityGroups", security_groups.is_some(), NetworkMode::Existing),
        ("assignPublicIp", assign_public_ip.is_some(), NetworkMode::Existing),
        ("egress", egress.is_some(), NetworkMode::Private),
        ("egressPorts", egress_ports.is_some(), NetworkMode::Private),
    ];
    if let Some((field, _, of)) = of_modes.iter().find(|(_, is_given, of)| *is_given && of != mode) {
        let of = if *of == NetworkMode::Existing { "existing" } else { "private" };
        return Err(format!("network.{field}: given with another mode; allowed: only with the mode {of}"));
    }
    match mode {
        NetworkMode::Public => Ok(()),
        NetworkMode::Existing => {
            check_ids("network.subnets", subnets.as_deref(), "subnet-", SUBNETS_LIMIT)?;
            check_ids("network.securityGroups", security_groups.as_deref(), "sg-", SECURITY_GROUPS_LIMIT)
        }
        NetworkMode::Private => check_ports(egress_ports.as_deref()),
    }
}

fn check_ports(ports: Option<&[u16]>) -> Check {
    const FIELD: &str = "network.egressPorts";
    let Some(ports) = ports else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let allowed = "a TCP port from 1 to 65535 that is given only once";
        require(*port > 0 && seen.insert(port), &format!("{FIELD}[{i}]"), port, allowed)?;
    }
    require(
        ports.len() <= EGRESS_PORTS_LIMIT,
        FIELD,
        format!("{} ports", ports.len()),
        format!("at most {EGRESS_PORTS_LIMIT} ports"),
    )?;
    // The container itself reports to SQS and moves files from and to S3.
    let given = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    require(ports.contains(&443), FIELD, given, "a list with 443, by which the container reports")
}

/// Ids that AWS gives: a prefix and hexadecimal digits.
fn check_ids(field: &str, ids: Option<&[String]>, prefix: &str, limit: usize) -> Check {
    let ids = ids.unwrap_or_default();
    let allowed = format!("1 to {limit} ids that begin with {prefix}");
    require((1..=limit).contains(&ids.len()), field, format!("{} ids", ids.len()), allowed)?;
    let mut seen = BTreeSet::new();
    for (i, id) in ids.iter().enumerate() {
        let field = format!("{field}[{i}]");
        let is_hex = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit());
        let right = id.strip_prefix(prefix).is_some_and(is_hex);
        require(right, &field, id, format!("an id such as {prefix}0a1b2c3d4e5f60718"))?;
        require(seen.insert(id), &field, id, "an id that is given only once")?;
    }
    Ok(())
}

fn check_container(container: &Container) -> Check {
    if let Some(image) = &container.image {
        // Source: ECS API Reference, `ContainerDefinition`, `image`; a digest comes after an @. A URL is no reference.
        let part = |c: char| c.is_ascii_alphanumeric() || "-_:./#@".contains(c);
        let right = (1..=255).contains(&image.len()) && image.chars().all(part) && !image.contains("//");
        require(
            right,
            "container.image",
            image,
            "an image reference such as public.ecr.aws/docker/library/busybox:1",
        )?;
    }
    if let Some(cpu) = container.cpu {
        let allowed: Vec<String> = SIZES.iter().map(|size| size.0.to_string()).collect();
        require(
            SIZES.iter().any(|size| size.0 == cpu),
            "container.cpu",
            cpu,
            format!("one of {}", allowed.join(", ")),
        )?;
    }
    if let Some(storage) = container.storage_gib {
        require((20..=200).contains(&storage), "container.storageGiB", storage, "20 to 200")?;
    }
    for (name, value) in &container.environment {
        let field = format!("container.environment.{name}");
        check_variable(&field, name)?;
        require(!value.contains('\0'), &field, "a value with a NUL character", "text without one")?;
    }
    for (name, value) in &container.secrets {
        let field = format!("container.secrets.{name}");
        check_variable(&field, name)?;
        let right =
            value.starts_with("arn:") && (value.contains(":secretsmanager:") || value.contains(":ssm:"));
        // Not a word of what was given: it may be the secret itself.
        require(
            right,
            &field,
            "something that is no ARN of a secret",
            "the ARN of a Secrets Manager secret or a Parameter Store parameter",
        )?;
        require(
            !container.environment.contains_key(name),
            &field,
            name,
            "a name that container.environment does not have",
        )?;
    }
    Ok(())
}

/// Refuses a size that Fargate would refuse at `RegisterTaskDefinition`. Called when defaults are in.
pub fn check_size(cpu: u32, memory: u32) -> Check {
    let Some(&(_, sizes)) = SIZES.iter().find(|size| size.0 == cpu) else {
        let sizes = SIZES.map(|size| size.0.to_string()).join(", ");
        return Err(format!("container.cpu: given {cpu}; allowed: one of {sizes}"));
    };
    let (is_right, allowed) = match sizes {
        Memory::OneOf(sizes) => {
            (sizes.contains(&memory), format!("one of {}", sizes.map(|size| size.to_string()).join(", ")))
        }
        Memory::Steps(least, greatest, step) => {
            let first = if least.is_multiple_of(step) { String::new() } else { format!("{least}, or ") };
            let from = least.max(step);
            (
                memory == least || (least..=greatest).contains(&memory) && memory.is_multiple_of(step),
                format!("{first}{from} to {greatest} in steps of {step}"),
            )
        }
    };
    require(is_right, "container.memoryMiB", memory, format!("{allowed}, for container.cpu {cpu}"))
}

fn check_variable(field: &str, name: &str) -> Check {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| first(c) || c.is_ascii_digit();
    require(
        name.starts_with(first) && name.chars().all(rest),
        field,
        name,
        "a name of letters, digits and _ that does not begin with a digit",
    )?;
    let reserved = ["AWS_", "ECS_", "MAYFLY_"].iter().any(|prefix| name.starts_with(prefix));
    require(
        !reserved,
        field,
        name,
        "a name that does not begin with AWS_, ECS_ or MAYFLY_, which are the container's own",
    )
}

fn check_task(task: &Task, buckets: &[String]) -> Check {
    require(!task.command.is_empty(), "task.command", "an empty list", "a program and its arguments")?;
    require(!task.command[0].is_empty(), "task.command[0]", "", "a program")?;
    for (i, argument) in task.command.iter().enumerate() {
        require(
            !argument.contains('\0'),
            &format!("task.command[{i}]"),
            "a text with a NUL character",
            "text without one",
        )?;
    }
    let files = task.inputs.len() + task.outputs.len();
    require(
        files <= FILES_LIMIT,
        "task",
        format!("{files} files"),
        format!("at most {FILES_LIMIT}, inputs and outputs together; put more into an archive"),
    )?;
    let mut seen = BTreeSet::new();
    for (i, input) in task.inputs.iter().enumerate() {
        check_file(&format!("task.inputs[{i}].file"), &input.file, &mut seen)?;
        check_source(&format!("task.inputs[{i}].from"), &input.from, buckets)?;
    }
    let (mut seen, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (i, output) in task.outputs.iter().enumerate() {
        check_file(&format!("task.outputs[{i}].file"), &output.file, &mut seen)?;
        let field = format!("task.outputs[{i}].to");
        check_s3(&field, &output.to, buckets)?;
        // Source: S3 API Reference, "POST Object", form field `key`.
        require(
            !output.to.contains("${filename}"),
            &field,
            &output.to,
            "a key without ${filename}, which S3 would replace by the uploaded file's name",
        )?;
        require(places.insert(&output.to), &field, &output.to, "a place that no other output has")?;
    }
    Ok(())
}

fn check_file<'a>(field: &str, file: &'a str, seen: &mut BTreeSet<&'a str>) -> Check {
    let inside = file.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let right = inside && file.len() <= 1024 && !file.contains(['\\', '\0']);
    require(right, field, file, "a name inside the working directory: relative, without .. and without \\")?;
    require(seen.insert(file), field, file, "a name that is given only once")
}

fn check_source(field: &str, from: &str, buckets: &[String]) -> Check {
    if from.starts_with("s3://") {
        return check_s3(field, from, buckets);
    }
    let url = Url::parse(from).ok();
    let right = url.as_ref().is_some_and(|url| {
        url.scheme() == "https"
            && url.port_or_known_default() == Some(443)
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    });
    require(right, field, from, "s3://BUCKET/KEY or an https URL on port 443 without a user name")
}

fn check_s3(field: &str, uri: &str, buckets: &[String]) -> Check {
    let Some(uri_parts) = S3Uri::parse(uri) else {
        return require(false, field, uri, "s3://BUCKET/KEY");
    };
    let allowed = format!(
        "a bucket of this stack ({}); add it to the stack's parameter DataBuckets",
        if buckets.is_empty() { "it has none".to_owned() } else { buckets.join(", ") }
    );
    require(buckets.iter().any(|bucket| bucket == uri_parts.bucket), field, uri, allowed)?;
    // Clients take such parts out of a URL, and so out of what is signed.
    // Source: S3 user guide, "Naming Amazon S3 objects", period-only path segments.
    let whole = uri_parts.key.split('/').all(|part| part != "." && part != "..");
    require(whole, field, uri, "a key without the parts . and ..")
}

fn check_range(field: &str, value: Option<u32>, least: u32, greatest: u32) -> Check {
    match value {
        Some(value) => {
            require((least..=greatest).contains(&value), field, value, format!("{least} to {greatest}"))
        }
        None => Ok(()),
    }
}

const TAG_VALUE: &str = "up to 256 letters, digits, spaces and _ . : / = + - @";

fn check_tags(tags: &BTreeMap<String, String>) -> Check {
    require(
        tags.len() <= TAGS_LIMIT,
        "tags",
        format!("{} tags", tags.len()),
        format!("at most {TAGS_LIMIT}"),
    )?;
    for (key, value) in tags {
        let field = format!("tags.{key}");
        require(
            !key.is_empty() && is_tag_text(key, 128),
            "tags",
            key,
            "keys of 1 to 128 letters, digits, spaces and _ . : / = + - @",
        )?;
        let lower = key.to_ascii_lowercase();
        let reserved =
            lower.starts_with("aws:") || lower.starts_with("mayfly:") || lower == "expiry" || lower == "user";
        require(
            !reserved,
            &field,
            key,
            "a key other than expiry and user that does not begin with aws: or mayfly:",
        )?;
        require(is_tag_text(value, 256), &field, value, TAG_VALUE)?;
    }
    Ok(())
}

/// Source: "Tag naming limits and requirements", Tagging AWS Resources User Guide; the set that all services take.
fn is_tag_text(text: &str, limit: usize) -> bool {
    text.chars().count() <= limit && text.chars().all(tags::is_of_value)
}

fn require(right: bool, field: &str, given: impl Display, allowed: impl Display) -> Check {
    if right {
        Ok(())
    } else {
        Err(format!("{}: given {}; allowed: {allowed}", shown(field), shown(&given.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_two_vcpus_come_with_three_sizes_of_memory() {
        let fits = [61_440, 122_880, 245_760, 249_856].map(|memory| check_size(32768, memory).is_ok());
        assert_eq!(fits, [true, true, false, true]);
    }
}
