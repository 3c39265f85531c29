//! Why a job failed: the classes that a person sees, and what to do about each.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Why a job failed. The class decides whether the job is tried again, and what a person is told to do.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
pub enum Class {
    /// The job document cannot be run as it stands; nothing has been created, unless only Elastic Load Balancing can tell.
    InvalidJob,
    /// A quota of the account is used up.
    QuotaExceeded,
    /// The container never reported for work.
    StartFailed,
    /// Fargate could not pull the image.
    ImagePullFailed,
    /// Fargate had no capacity of the kind asked for.
    NoCapacity,
    /// AWS took the Spot capacity back.
    SpotInterrupted,
    /// The kernel killed the command, or the container, for want of memory.
    OutOfMemory,
    /// The command ended with a code other than 0, or could not be started.
    CommandFailed,
    /// An input could not be downloaded.
    InputUnavailable,
    /// An output could not be uploaded.
    UploadFailed,
    /// The container's disk is full.
    DiskFull,
    /// The attempt took longer than `timeoutMinutes`.
    TimedOut,
    /// The container stopped reporting.
    HeartbeatLost,
    /// AWS denied an action.
    AccessDenied,
    /// A fault of Mayfly or of AWS that no other class names.
    Internal,
}

impl Class {
    /// All classes, in the order of the design.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Whether another attempt may help: the cloud's failures are tried again, a job's own are not.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::StartFailed | Self::NoCapacity | Self::SpotInterrupted | Self::HeartbeatLost)
    }

    /// The class called `name`, for example in the `Error` of a caught state.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The class's name as it stands in documents and in the state machines.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What a person should do now, in one or two sentences. What happened is the failure's `message`; where a word in
    /// it says more than the class, the remedy is for that.
    pub fn remedy(self, message: &str) -> &'static str {
        let is_told = |(class, word, _): &&(Self, &str, &str)| *class == self && message.contains(word);
        SPECIAL_REMEDIES.iter().find(is_told).map_or_else(|| self.usual_remedy(), |(.., remedy)| remedy)
    }

    fn usual_remedy(self) -> &'static str {
        match self {
            Self::InvalidJob => "Correct the document and submit it under another name.",
            Self::QuotaExceeded => {
                "Give the job `queueMinutes` to wait for others to end, if the message names VPCs, internet gateways, \
                 addresses, NAT gateways, load balancers or, for work, vCPUs; else, or to run more at once, ask for more in \
                 the console of Service Quotas."
            }
            Self::StartFailed => {
                "Run it again. If that ends in the same way, read the container's log (`mayfly logs`), and see that the \
                 subnets have a route to the internet and that the image's entry point is the worker."
            }
            Self::ImagePullFailed => {
                "See that `container.image` is right and pushed; `make copy-image` copies the stack's own, `make push-worker` pushes the worker."
            }
            Self::NoCapacity => {
                "Run it again later, or with the `capacity` `spot-then-on-demand` or `on-demand`."
            }
            Self::SpotInterrupted => {
                "Run it again, with the `capacity` `spot-then-on-demand` or `on-demand` if it is long or urgent."
            }
            Self::OutOfMemory => "Raise `container.memoryMiB`; a larger `container.cpu` allows more of it.",
            Self::CommandFailed => {
                "Read the end of the output, try the command on your own machine, and correct it or its inputs."
            }
            Self::InputUnavailable => {
                "See that the file is there, that its bucket is in the stack's `DataBuckets`, and that a URL needs no \
                 sign-in."
            }
            Self::UploadFailed => {
                "See that the command writes each output under its very name, or marks it `optional`, and that the bucket's \
                 policy lets the stack write."
            }
            Self::DiskFull => {
                "Raise `container.storageGiB`, or let the command remove what it no longer needs."
            }
            Self::TimedOut => "Raise `timeoutMinutes`, or `container.cpu` if the command can use more.",
            Self::HeartbeatLost => {
                "Run it again. If the log's end shows a command that takes all processor time or memory, raise \
                 `container.cpu` or `container.memoryMiB`."
            }
            Self::AccessDenied => {
                "Give the role in the message the right in the message: in template.yaml, or in the policy of the \
                 bucket, key or secret."
            }
            Self::Internal => {
                "Look at the failed state in the Step Functions console and run the job again. If that ends in the \
                 same way, report it with that state's error and cause."
            }
        }
    }
}

/// The remedies where a word of the worker's, or of S3's, says more than the class.
/// Source: S3 API Reference, "Error responses"; S3 user guide, "Restoring an archived object" and "Protecting data with
/// server-side encryption".
const SPECIAL_REMEDIES: [(Class, &str, &str); 7] = [
    (
        Class::InputUnavailable,
        "(InvalidObjectState",
        "The object is archived: restore it with `aws s3api restore-object`, which takes minutes to days, and run the \
         job again.",
    ),
    (
        Class::InputUnavailable,
        "it asks to wait",
        "Run it again later, with a longer `timeoutMinutes`, or bring the file into one of the stack's `DataBuckets`.",
    ),
    (
        Class::InputUnavailable,
        "to perform: kms:",
        "Add the KMS key in the message to the stack's parameter `DataKeyArns`, and see that the key's own policy lets the \
         stack's data role decrypt with it.",
    ),
    (
        Class::UploadFailed,
        "to perform: kms:",
        "Add the KMS key in the message to the stack's parameter `DataKeyArns`, and see that the key's own policy lets the \
         stack's data role generate data keys with it.",
    ),
    (
        Class::AccessDenied,
        "Access to KMS is not allowed",
        "Add the KMS key of the secret to the stack's parameter `DataKeyArns`, and see that the key's own policy lets the \
         stack's execution role decrypt with it.",
    ),
    (
        Class::AccessDenied,
        "The ciphertext refers to",
        "Add the KMS key of the parameter to the stack's parameter `DataKeyArns`, and see that the key's own policy lets \
         the stack's execution role decrypt with it.",
    ),
    (
        Class::UploadFailed,
        "(AccessDenied",
        "See that the policies of the bucket and of its key let the stack's data role write. A policy that demands an \
         encryption header refuses every upload, since none is sent: replace it by the bucket's default encryption.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_class_is_found_by_its_name() {
        for &class in Class::ALL {
            assert_eq!(Class::from_name(class.name()), Some(class));
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
        assert_eq!(Class::from_name("States.Timeout"), None);
    }

    #[test]
    fn every_class_has_a_remedy_of_its_own() {
        let usual = Class::ALL.iter().map(|class| class.remedy(""));
        let remedies: HashSet<_> = usual.chain(SPECIAL_REMEDIES.map(|(.., remedy)| remedy)).collect();
        assert_eq!(remedies.len(), Class::ALL.len() + SPECIAL_REMEDIES.len());
        let is_one_or_two =
            |remedy: &str| remedy.ends_with('.') && (1..=2).contains(&remedy.split(". ").count());
        assert!(remedies.into_iter().all(is_one_or_two));
    }

    #[test]
    fn a_remedy_fits_what_the_message_says() {
        let archived = "HTTP 403 Forbidden (InvalidObjectState: The operation is not valid for the object's storage class)";
        let busy = "HTTP 429 Too Many Requests; it asks to wait 31536000 s";
        let denied = "HTTP 403 Forbidden (AccessDenied: User: arn:aws:sts::111122223333:assumed-role/mayfly/job is not \
                      authorized to perform: s3:PutObject with an explicit deny in a resource-based policy)";
        let no_key = "HTTP 403 Forbidden (AccessDenied: User: arn:aws:sts::111122223333:assumed-role/mayfly/job is not \
                      authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-central-1:111122223333:key/1234)";
        let cases = [
            (Class::InputUnavailable, archived, "restore it"),
            (Class::InputUnavailable, busy, "Run it again later"),
            (Class::InputUnavailable, denied, "See that the file is there"),
            (Class::InputUnavailable, no_key, "`DataKeyArns`"),
            (Class::UploadFailed, no_key, "`DataKeyArns`"),
            (Class::AccessDenied, "AccessDeniedException: Access to KMS is not allowed", "`DataKeyArns`"),
            (
                Class::AccessDenied,
                "AccessDeniedException: The ciphertext refers to a customer master key that does not exist",
                "key of the parameter",
            ),
            (Class::UploadFailed, denied, "the bucket's default encryption"),
            (Class::UploadFailed, "HTTP 404 Not Found (NoSuchBucket)", "See that the command writes"),
        ];
        for (class, message, remedy) in cases {
            assert!(class.remedy(message).contains(remedy), "{message}");
        }
    }
}
