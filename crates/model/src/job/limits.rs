//! What the stack's parameters allow a job to name: buckets, images, subnets, secrets.

use super::{S3Uri, check::Check, check::require};
use crate::shown::shown;

/// What a job may name. Whoever may start jobs may do no more than this, whatever else the account has.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// `DataBuckets`: the buckets.
    pub buckets: Vec<String>,
    /// `DataPrefixes`: how `BUCKET/KEY` has to begin; empty for every key of the buckets.
    pub prefixes: Vec<String>,
    /// `AllowedImages`: patterns of repositories, as [`repository`] names them; empty for any image.
    pub images: Vec<String>,
    /// The image of jobs that name none, which a job may always name.
    pub own_image: String,
    /// The host of the account's own registry in the stack's Region.
    pub registry: String,
    /// `ExistingSubnets`: patterns of ids; empty where no job may use a network that is there already.
    pub subnets: Vec<String>,
    /// `ExistingSecurityGroups`: the same for groups.
    pub security_groups: Vec<String>,
    /// `SecretArns`: ARNs of secrets and parameters.
    pub secrets: Vec<String>,
    /// `DataKeyArns`: ARNs of KMS keys.
    pub kms_keys: Vec<String>,
}

impl Limits {
    pub(super) fn check_object(&self, field: &str, uri: &str, S3Uri { bucket, key }: &S3Uri<'_>) -> Check {
        let allowed = format!(
            "a bucket of this stack ({}); add it to the stack's parameter DataBuckets",
            listed(&self.buckets)
        );
        require(self.buckets.iter().any(|own| own == bucket), field, uri, allowed)?;
        let place = format!("{bucket}/{key}");
        let is_within = self.prefixes.iter().any(|prefix| place.starts_with(prefix.as_str()));
        let allowed = format!(
            "BUCKET/KEY that begins as the stack's parameter DataPrefixes says ({})",
            listed(&self.prefixes)
        );
        require(self.prefixes.is_empty() || is_within, field, uri, allowed)
    }

    pub(super) fn check_image(&self, image: &str) -> Check {
        let name = repository(image, &self.registry);
        let is_named = self.images.iter().any(|pattern| fits(pattern, &name));
        require(
            self.images.is_empty() || is_named || image == self.own_image,
            "container.image",
            image,
            format!(
                "an image of a repository in the stack's parameter AllowedImages ({})",
                listed(&self.images)
            ),
        )
    }

    /// Whether a job may use a network that is there already.
    pub(super) fn check_existing(&self) -> Check {
        require(
            !self.subnets.is_empty() && !self.security_groups.is_empty(),
            "network.mode",
            "existing",
            "public or private; the stack's parameters ExistingSubnets and ExistingSecurityGroups name nothing to use",
        )
    }

    pub(super) fn check_subnet(&self, field: &str, id: &str) -> Check {
        check_existing_id(field, id, "ExistingSubnets", &self.subnets)
    }

    pub(super) fn check_security_group(&self, field: &str, id: &str) -> Check {
        check_existing_id(field, id, "ExistingSecurityGroups", &self.security_groups)
    }

    /// An upload would be denied when the work is done.
    pub(super) fn check_kms_key(&self, field: &str, arn: &str) -> Check {
        let allowed =
            format!("a key that the stack's parameter DataKeyArns names ({})", listed(&self.kms_keys));
        require(self.kms_keys.iter().any(|known| known == arn), field, arn, allowed)
    }

    /// The container's start would fail without a word in the execution. A reference may go on with a key and a version.
    /// Source: ECS developer guide, "Pass Secrets Manager secrets through environment variables".
    pub(super) fn check_secret(&self, field: &str, arn: &str) -> Check {
        let is_of = |known: &String| {
            arn.strip_prefix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        require(
            self.secrets.iter().any(is_of),
            field,
            "another ARN",
            "one that the stack's parameter SecretArns names",
        )
    }
}

fn check_existing_id(field: &str, id: &str, parameter: &str, patterns: &[String]) -> Check {
    let allowed = format!("what the stack's parameter {parameter} names ({})", listed(patterns));
    require(patterns.iter().any(|pattern| fits(pattern, id)), field, id, allowed)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "it has none".to_owned() } else { shown(&names.join(", ")) }
}

/// An image's repository: of the account's own registry by its name alone, of all others with the host, and without tag
/// and digest.
/// Source: github.com/distribution/reference, `normalize.go`, read in November 2026: what has no host is Docker Hub's.
fn repository(image: &str, registry: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    match name.split_once('/') {
        Some((host, name)) if host == registry => name.to_owned(),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

/// Whether the whole of `text` fits `pattern`, in which `*` stands for any characters, as in a policy of IAM's.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == text };
    let inner = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let mut rest = inner;
    for part in middle {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, rest)| rest);
    }
    rest.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_everything_else_for_itself() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a/b"),
            ("a*", "a"),
            ("a*c", "abc"),
            ("a**b", "ab"),
            ("*b*", "abc"),
            ("a*b*c", "abbc"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a*a", "a"), ("a*", "ba"), ("*a", "ab"), ("a?", "ab"), ("a*b*b", "ab")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_repository_is_named_by_its_host_unless_it_is_the_accounts_own() {
        let registry = "111122223333.dkr.ecr.eu-central-1.amazonaws.com";
        for (image, name) in [
            ("111122223333.dkr.ecr.eu-central-1.amazonaws.com/tools/ffmpeg:7@sha256:0a", "tools/ffmpeg"),
            (
                "444455556666.dkr.ecr.eu-central-1.amazonaws.com/tools",
                "444455556666.dkr.ecr.eu-central-1.amazonaws.com/tools",
            ),
            ("public.ecr.aws/docker/library/busybox:1", "public.ecr.aws/docker/library/busybox"),
            ("tools/ffmpeg", "docker.io/tools/ffmpeg"),
            ("busybox:1", "docker.io/library/busybox"),
            ("localhost:5000/tools", "localhost:5000/tools"),
        ] {
            assert_eq!(repository(image, registry), name);
        }
    }
}
