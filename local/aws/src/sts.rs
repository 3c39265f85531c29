//! What AWS's STS does with a session policy and MiniStack's does not: it packs it into less room than its text may take,
//! and takes its time.

use std::time::Duration;

/// How long an answer takes.
pub const ANSWER: Duration = Duration::from_millis(200);

/// A session policy is refused from so many characters on. AWS packs it into a binary form with a limit of its own, and
/// tells only how full that is; others have met it at about this length.
/// Source: STS API Reference, `AssumeRole`, `PackedPolicyTooLarge` and `PackedPolicySize`.
const PACKED_LIMIT: usize = 1_000;

/// How much a session policy takes of the room for it, in percent; more than 100 is refused as `PackedPolicyTooLarge`.
pub fn packed_percent(policy: &str) -> usize {
    (policy.chars().count() * 100).div_ceil(PACKED_LIMIT - 1)
}

/// What is said of a policy that takes so much, as others have met it.
/// Source: github.com/aws/containers-roadmap/issues/2413, for the session tags that are packed with the policy.
pub fn packed_too_large(percent: usize) -> String {
    format!("Packed size of policy consumes {percent}% of allotted space.")
}

/// The document of an error of the caller's.
pub fn error_document(code: &str, message: &str, request_id: &str) -> String {
    let message = quick_xml::escape::escape(message);
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_less_than_a_thousand_characters_is_packed() {
        assert_eq!(packed_percent(""), 0);
        assert_eq!(packed_percent(&"ä".repeat(999)), 100);
        assert_eq!(packed_percent(&"ä".repeat(1_000)), 101);
    }

    #[test]
    fn an_error_says_what_it_has_to_say_in_xml() {
        let document = error_document("Code", "a<b & c", "id-1");
        assert!(document.contains("<Message>a&lt;b &amp; c</Message>"), "{document}");
    }
}
