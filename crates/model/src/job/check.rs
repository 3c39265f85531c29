//! The rules of the job document that its types cannot express.

mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::Ipv4Addr;

use url::Url;

use super::{
    Container, IMAGES, Input, JobDocument, Limits, Network, NetworkMode, Output, S3Uri, Ulimit, Work, folders,
};
use crate::shown::shown;
use crate::tags;

/// Files in and out together.
const FILES_LIMIT: usize = 100;
/// Seven days.
const WEEK_IN_MINUTES: u32 = 7 * 24 * 60;
/// The least and the greatest number in each field.
const RANGES: [(&str, u32, u32); 7] = [
    ("timeoutMinutes", 1, WEEK_IN_MINUTES),
    ("attempts", 1, 10),
    ("queueMinutes", 0, WEEK_IN_MINUTES),
    ("service.ttlMinutes", 1, WEEK_IN_MINUTES),
    ("service.count", 1, 10),
    // Source: ECS API Reference, `EphemeralStorage`; 20 is what a task has without asking.
    ("container.storageGiB", 20, 200),
    // Source: ECS API Reference, `ContainerDefinition`, `stopTimeout` on Fargate.
    ("container.stopTimeout", 2, 120),
];
/// Source: ECS API Reference, `AwsVpcConfiguration`, `subnets`.
const SUBNETS_LIMIT: usize = 16;
/// Source: ECS API Reference, `AwsVpcConfiguration`, `securityGroups`.
const SECURITY_GROUPS_LIMIT: usize = 5;
/// Well below the 60 rules that a security group may have.
/// Source: VPC user guide, "Amazon VPC quotas".
const EGRESS_PORTS_LIMIT: usize = 20;
/// AWS allows 50 tags; Mayfly's own and some to spare are kept back.
const TAGS_LIMIT: usize = 40;
/// What Linux takes as a path that leaves room for the working directory's.
const FILE_LIMIT: usize = 1024;
/// Source: `NAME_MAX` in Linux's limits.h; no file system of a container takes more.
const FILE_PART_LIMIT: usize = 255;
/// Source: S3 user guide, "Naming Amazon S3 objects": 1,024 bytes of UTF-8.
pub(super) const KEY_LIMIT: usize = 1024;

/// Of the seconds that Fargate leaves a container, the most that a command may have.
const WORK_STOP_LIMIT: u32 = 100;
/// Source: useradd(8), the longest name of a user.
const USER_LIMIT: usize = 32;
/// What the kernel has as `fs.nr_open` by itself, beyond which no process starts.
/// Source: proc_sys_fs(5), `nr_open`.
const NOFILE_LIMIT: u32 = 1_048_576;

/// Of a header that an object is served with, in characters; a limit of our own.
const HEADER_LIMIT: usize = 255;
/// Source: S3 user guide, "Working with object metadata", user-defined: 2 KB, names and values together.
const METADATA_LIMIT: usize = 2048;

/// What memory in MiB a number of CPU units may have.
#[derive(Clone, Copy)]
enum Memory {
    /// The least, the greatest and the step.
    Steps(u32, u32, u32),
    /// These alone, in their order.
    OneOf([u32; 3]),
}

impl Memory {
    fn bounds(self) -> (u32, u32) {
        match self {
            Self::Steps(least, greatest, _) | Self::OneOf([least, _, greatest]) => (least, greatest),
        }
    }
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

pub(super) type Check = Result<(), String>;

/// Whether `name` can be a bucket's.
/// Source: S3 user guide, "General purpose bucket naming rules", read in November 2026.
pub(super) fn is_bucket(name: &str) -> bool {
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends = |c: char| right(c) && c.is_ascii_alphanumeric();
    (3..=63).contains(&name.len())
        && name.chars().all(right)
        && name.starts_with(ends)
        && name.ends_with(ends)
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|prefix| name.starts_with(prefix))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
}

/// What the number in `field` may be, in the field's own terms.
pub(super) fn number(field: &str) -> String {
    let range = |least, greatest| format!("a whole number in digits alone, {least} to {greatest}");
    if let Some((_, least, greatest)) = RANGES.iter().find(|(name, ..)| *name == field) {
        return range(*least, *greatest);
    }
    match field {
        "container.cpu" => format!("one of {}", cpu_sizes()),
        "container.memoryMiB" => {
            let bounds = SIZES.map(|size| size.1.bounds());
            let least = bounds.map(|(least, _)| least).into_iter().min();
            let greatest = bounds.map(|(_, greatest)| greatest).into_iter().max();
            range(least.unwrap_or_default(), greatest.unwrap_or_default())
        }
        _ => range(1, u16::MAX.into()),
    }
}

fn cpu_sizes() -> String {
    SIZES.map(|size| size.0.to_string()).join(", ")
}

pub(super) fn check(job: &JobDocument, limits: &Limits) -> Check {
    if let Some(network) = &job.network {
        check_network(network, limits)?;
    }
    if let Some(container) = &job.container {
        check_container(container, limits)?;
    }
    match (&job.work, &job.service) {
        (_, Some(service)) => service::check_service(job, service)?,
        (Some(work), None) => {
            check_work(work, limits)?;
            let stop_timeout = job.container.as_ref().and_then(|container| container.stop_timeout);
            let allowed = format!(
                "at most {WORK_STOP_LIMIT} for a task; the worker needs the rest of Fargate's 120 s to report"
            );
            let stop_timeout = stop_timeout.unwrap_or_default();
            require(stop_timeout <= WORK_STOP_LIMIT, "container.stopTimeout", stop_timeout, allowed)?;
        }
        (None, None) => {
            return Err(
                "task: missing; a job has a task, which ends by itself, or a service, which is called".into(),
            );
        }
    }
    check_range("timeoutMinutes", job.timeout_minutes)?;
    check_range("attempts", job.attempts)?;
    check_range("queueMinutes", job.queue_minutes)?;
    if let Some(user) = &job.user {
        require(!user.is_empty() && is_tag_value(user), "user", user, TAG_VALUE)?;
    }
    check_tags(&job.tags)
}

fn check_network(network: &Network, limits: &Limits) -> Check {
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
            limits.check_existing()?;
            let (subnets, groups) = (subnets.as_deref(), security_groups.as_deref());
            check_ids("network.subnets", subnets, "subnet-", SUBNETS_LIMIT, |field, id| {
                limits.check_subnet(field, id)
            })?;
            check_ids("network.securityGroups", groups, "sg-", SECURITY_GROUPS_LIMIT, |field, id| {
                limits.check_security_group(field, id)
            })
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
fn check_ids(
    field: &str,
    ids: Option<&[String]>,
    prefix: &str,
    limit: usize,
    check_allowed: impl Fn(&str, &str) -> Check,
) -> Check {
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
        check_allowed(&field, id)?;
    }
    Ok(())
}

fn check_container(container: &Container, limits: &Limits) -> Check {
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
        limits.check_image(image)?;
    }
    if let Some(cpu) = container.cpu {
        require(SIZES.iter().any(|size| size.0 == cpu), "container.cpu", cpu, number("container.cpu"))?;
    }
    check_range("container.storageGiB", container.storage_gib)?;
    for (name, value) in &container.environment {
        let field = format!("container.environment.{name}");
        check_variable(&field, name)?;
        check_text(&field, value)?;
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
        limits.check_secret(&field, value)?;
    }
    if let Some(credentials) = &container.repository_credentials {
        const FIELD: &str = "container.repositoryCredentials";
        let right = credentials.starts_with("arn:") && credentials.contains(":secretsmanager:");
        require(
            right,
            FIELD,
            "something that is no ARN of a Secrets Manager secret",
            "the ARN of a secret that holds {\"username\": …, \"password\": …}",
        )?;
        limits.check_secret(FIELD, credentials)?;
    }
    check_range("container.stopTimeout", container.stop_timeout)?;
    check_run(container)
}

/// As whom, where and within what the container's processes run.
fn check_run(container: &Container) -> Check {
    if let Some(user) = &container.user {
        let part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let is_name = |name: &str| !name.is_empty() && name.len() <= USER_LIMIT && name.chars().all(part);
        let (name, group) =
            user.split_once(':').map_or((user.as_str(), None), |(name, group)| (name, Some(group)));
        let right = is_name(name) && group.is_none_or(is_name);
        require(
            right,
            "container.user",
            user,
            "a user or USER:GROUP, each a number or a name that the image knows",
        )?;
    }
    if let Some(directory) = &container.working_directory {
        const FIELD: &str = "container.workingDirectory";
        let allowed = format!("an absolute path in the image, or {IMAGES} for the image's own");
        require(directory.starts_with('/') || directory == IMAGES, FIELD, directory, allowed)?;
        check_text(FIELD, directory)?;
        require(directory.len() <= FILE_LIMIT, FIELD, directory, format!("at most {FILE_LIMIT} bytes"))?;
    }
    let mut names = Vec::new();
    for (i, Ulimit { name, soft_limit, hard_limit }) in container.ulimits.iter().enumerate() {
        let field = format!("container.ulimits[{i}]");
        let given = format!("softLimit {soft_limit} and hardLimit {hard_limit}");
        let allowed = format!("1 to {NOFILE_LIMIT}, and a softLimit that is not above the hardLimit");
        let right = (1..=*hard_limit).contains(soft_limit) && *hard_limit <= NOFILE_LIMIT;
        require(right, &field, given, allowed)?;
        require(!names.contains(name), &format!("{field}.name"), "nofile", "a name that is given only once")?;
        names.push(*name);
    }
    Ok(())
}

/// Refuses a size that Fargate would refuse at `RegisterTaskDefinition`. Called when defaults are in.
pub fn check_size(cpu: u32, memory: u32) -> Check {
    let Some(&(_, sizes)) = SIZES.iter().find(|size| size.0 == cpu) else {
        return Err(format!("container.cpu: given {cpu}; allowed: one of {}", cpu_sizes()));
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
    // What comes after the sign may be a secret.
    require(!name.contains('='), field, "a name with =", "a name alone; the value stands behind the colon")?;
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

fn check_work(work: &Work, limits: &Limits) -> Check {
    require(
        work.command.first().is_none_or(|program| !program.is_empty()),
        "task.command[0]",
        "",
        "a program",
    )?;
    for (i, argument) in work.command.iter().enumerate() {
        check_text(&format!("task.command[{i}]"), argument)?;
    }
    let files = work.inputs.len() + work.outputs.len();
    require(
        files <= FILES_LIMIT,
        "task",
        format!("{files} files"),
        format!("at most {FILES_LIMIT}, inputs and outputs together; put more into a folder"),
    )?;
    let mut seen = BTreeSet::new();
    for (i, input) in work.inputs.iter().enumerate() {
        check_file(&format!("task.inputs[{i}].file"), &input.file, &mut seen)?;
        check_source(&format!("task.inputs[{i}].from"), input, limits)?;
    }
    let mut seen = BTreeSet::new();
    for (i, output) in work.outputs.iter().enumerate() {
        let field = format!("task.outputs[{i}].file");
        check_file(&field, &output.file, &mut seen)?;
        check_pattern(&field, &output.file)?;
        check_target(&format!("task.outputs[{i}].to"), &output.to, output.pattern().is_some(), limits)?;
        check_object(&format!("task.outputs[{i}]"), output, limits)?;
    }
    if let Some(list) = &work.output_list {
        check_target("task.outputList", list, false, limits)?;
    }
    folders::check_places(work)?;
    folders::check_files(work)
}

fn check_pattern(field: &str, file: &str) -> Check {
    let is_whole = |part: &str| part == "**" || !part.contains("**");
    require(
        !file.contains(['?', '[']) && file.split('/').all(is_whole),
        field,
        file,
        "a name without ? and [; in a pattern * stands for any characters but /, and ** alone between slashes for any \
         folders",
    )
}

/// Where an output goes.
fn check_target(field: &str, to: &str, is_folder: bool, limits: &Limits) -> Check {
    check_s3(field, to, is_folder, limits)?;
    // Source: S3 API Reference, "POST Object", form field `key`.
    require(
        !to.contains("${filename}"),
        field,
        to,
        "a key without ${filename}, which S3 would replace by the uploaded file's name",
    )
}

/// What an output says of its object.
fn check_object(field: &str, output: &Output, limits: &Limits) -> Check {
    let header = format!("1 to {HEADER_LIMIT} visible characters of ASCII, and spaces between them");
    if let Some(kind) = &output.content_type {
        let is_kind = is_header(kind)
            && kind.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && !rest.is_empty());
        require(is_kind, &format!("{field}.contentType"), kind, "a media type such as video/mp4")?;
    }
    if let Some(control) = &output.cache_control {
        require(is_header(control), &format!("{field}.cacheControl"), control, &header)?;
    }
    if let Some(key) = &output.kms_key {
        limits.check_kms_key(&format!("{field}.kmsKey"), key)?;
    }
    let size: usize = output.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    let given = format!("{size} bytes");
    require(
        size <= METADATA_LIMIT,
        &format!("{field}.metadata"),
        given,
        format!("at most {METADATA_LIMIT} bytes, names and values together"),
    )?;
    for (name, value) in &output.metadata {
        let is_name = is_token(name) && !name.contains(|c: char| c.is_ascii_uppercase());
        require(
            is_name,
            &format!("{field}.metadata"),
            name,
            "names of a-z, 0-9, -, _ and ., which S3 keeps in small letters",
        )?;
        require(is_header(value), &format!("{field}.metadata.{name}"), value, &header)?;
    }
    Ok(())
}

/// Whether it is the value of a header that goes through a form as it is.
fn is_header(text: &str) -> bool {
    let is_visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_visible && text.trim() == text && (1..=HEADER_LIMIT).contains(&text.len())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn check_file<'a>(field: &str, file: &'a str, seen: &mut BTreeSet<&'a str>) -> Check {
    check_text(field, file)?;
    let name = file.strip_suffix('/').unwrap_or(file);
    let inside = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    require(
        inside && !file.contains('\\') && !file.contains(":/"),
        field,
        file,
        "a name inside the working directory: relative, no URL, without .. and without \\",
    )?;
    let bytes = |limit: usize| format!("at most {limit} bytes of UTF-8");
    require(file.len() <= FILE_LIMIT, field, format!("{} bytes", file.len()), bytes(FILE_LIMIT))?;
    let longest = file.split('/').map(str::len).max().unwrap_or_default();
    require(
        longest <= FILE_PART_LIMIT,
        field,
        format!("a part of {longest} bytes"),
        format!("parts between slashes of {}", bytes(FILE_PART_LIMIT)),
    )?;
    require(seen.insert(file), field, file, "a name that is given only once")
}

/// No argument, variable or path holds a NUL, and a message in SQS neither of the other two.
/// Source: SQS API Reference, `SendMessage`, `MessageBody`, read in November 2026.
fn check_text(field: &str, text: &str) -> Check {
    require(
        !text.contains(['\0', '\u{fffe}', '\u{ffff}']),
        field,
        "a text with NUL, U+FFFE or U+FFFF",
        "text without them",
    )
}

fn check_source(field: &str, input: &Input, limits: &Limits) -> Check {
    let from = input.from.as_str();
    if from.starts_with("s3://") || input.is_folder() {
        return check_s3(field, from, input.is_folder(), limits);
    }
    check_text(field, from)?;
    // The parser adds slashes that are missing.
    let is_whole = from.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    let right = Url::parse(from).is_ok_and(|url| {
        is_whole
            && url.port_or_known_default() == Some(443)
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    });
    require(right, field, from, "s3://BUCKET/KEY or an https URL on port 443 without a user name")
}

/// An object's place, or the prefix of a folder's.
fn check_s3(field: &str, uri: &str, is_folder: bool, limits: &Limits) -> Check {
    check_text(field, uri)?;
    let shape = if is_folder { "s3://BUCKET/PREFIX/, since file names a folder" } else { "s3://BUCKET/KEY" };
    let Some(S3Uri { bucket, key }) = S3Uri::split(uri) else {
        return require(false, field, uri, shape);
    };
    require(
        is_bucket(bucket),
        field,
        uri,
        "a bucket's name: 3 to 63 of a-z, 0-9, - and . that begin and end with a letter or digit, no IP address, \
         without .. and without what S3 reserves, such as -s3alias at the end",
    )?;
    let bytes = format!("a key of {} bytes", key.len());
    require(key.len() <= KEY_LIMIT, field, bytes, format!("a key of at most {KEY_LIMIT} bytes of UTF-8"))?;
    limits.check_object(field, uri, &S3Uri { bucket, key })?;
    // Clients take such parts out of a URL, and so out of what is signed.
    // Source: S3 user guide, "Naming Amazon S3 objects", period-only path segments.
    let whole = key.split('/').all(|part| part != "." && part != "..");
    require(whole, field, uri, "a key without the parts . and ..")?;
    if !is_folder {
        let allowed =
            "the key of one object, which does not end with /; file then names a folder, which does";
        return require(!key.ends_with('/'), field, uri, allowed);
    }
    require(key.ends_with('/'), field, uri, "a prefix that ends with /, since file names a folder")?;
    let has_parts = key.trim_end_matches('/').split('/').all(|part| !part.is_empty()) && !key.ends_with("//");
    require(has_parts, field, uri, "a prefix without empty parts between slashes")
}

fn check_range(field: &str, value: Option<u32>) -> Check {
    let Some(value) = value else { return Ok(()) };
    let is_within =
        |(name, least, greatest): &(&str, u32, u32)| *name == field && (*least..=*greatest).contains(&value);
    require(RANGES.iter().any(is_within), field, value, number(field))
}

const TAG_VALUE: &str = "up to 256 letters, digits, spaces and _ . : / = + - @, no combining marks, and no aws: at \
                         the beginning";

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
            "keys of 1 to 128 letters, digits, spaces and _ . : / = + - @, no combining marks",
        )?;
        let lower = key.to_ascii_lowercase();
        let reserved =
            is_aws_own(key) || lower.starts_with("mayfly:") || lower == "expiry" || lower == "user";
        require(
            !reserved,
            &field,
            key,
            "a key other than expiry and user that does not begin with aws: or mayfly:",
        )?;
        require(is_tag_value(value), &field, value, TAG_VALUE)?;
    }
    Ok(())
}

fn is_tag_value(value: &str) -> bool {
    is_tag_text(value, 256) && !is_aws_own(value)
}

/// ECS keeps the prefix, in whatever case, for AWS's own keys and values.
/// Source: ECS API Reference, `Tag`, read in November 2026.
fn is_aws_own(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

fn is_tag_text(text: &str, limit: usize) -> bool {
    text.chars().count() <= limit && text.chars().all(tags::is_of_value)
}

/// A field's name, in which a person's own words may stand: a variable's, or a tag's.
pub(super) fn shown_field(field: &str) -> String {
    match field.split_once('=') {
        Some((name, _)) => format!("{}=***", shown(name)),
        None => shown(field),
    }
}

pub(super) fn require(right: bool, field: &str, given: impl Display, allowed: impl Display) -> Check {
    if right {
        Ok(())
    } else {
        Err(format!("{}: given {}; allowed: {allowed}", shown_field(field), shown(&given.to_string())))
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
