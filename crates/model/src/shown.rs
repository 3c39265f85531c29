//! What a message or a log repeats of what it was given: short, visible, and without what may be secret. Whatever
//! repeats a word of a document, a URL, a server or a file name asks here.

use crate::visible::is_visible;

/// The most that is repeated of one thing, in characters.
pub const SHOWN_LIMIT: usize = 200;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Where a query begins, as it is and as it is encoded.
const QUERY: [&str; 2] = ["?", "%3f"];
/// Between a parameter's name and its value.
const EQUALS: [&str; 2] = ["=", "%3d"];
/// What the names of parameters have in them whose values are secrets: `sig`, `X-Amz-Credential`, `access_token`.
const SECRETS: [&str; 8] = ["sig", "token", "secret", "pass", "pwd", "key", "cred", "auth"];

/// `text` as a message may repeat it, at most [`SHOWN_LIMIT`] characters of it.
///
/// A query, often a signature, is hidden to the end of the text, and so is the value of a parameter that is named like
/// a secret; the user's part of a URL is hidden as well. No parser is asked: a URL that is mistyped, or that stands
/// where none belongs, keeps its secret too, at the price that now and then a harmless word is hidden.
pub fn shown(text: &str) -> String {
    if text.is_empty() {
        return "an empty text".to_owned();
    }
    let (head, tail) = text.split_at(secret_start(text));
    let mut whole = without_user(head);
    if !tail.is_empty() {
        whole.push_str(HIDDEN);
    }
    let visible = |c: char| if is_visible(c) && c != '\t' { c } else { char::REPLACEMENT_CHARACTER };
    let start: String = whole.chars().take(SHOWN_LIMIT).map(visible).collect();
    if whole.chars().count() > SHOWN_LIMIT { format!("{start} ...") } else { start }
}

/// Where the query begins, or the first value that is named like a secret; the text's end where there is neither.
fn secret_start(text: &str) -> usize {
    // Of the same length as the text, whatever is in it.
    let lower = text.to_ascii_lowercase();
    let query = QUERY.iter().filter_map(|mark| Some(lower.find(mark)? + mark.len()));
    let values = EQUALS.iter().filter_map(|mark| {
        let (at, mark) = lower.match_indices(mark).find(|(at, _)| is_secret(&lower[..*at]))?;
        Some(at + mark.len())
    });
    query.chain(values).min().unwrap_or(text.len())
}

/// Whether the name at the end of `text` is that of a secret.
fn is_secret(text: &str) -> bool {
    let is_separator = |c: char| !(c.is_alphanumeric() || "-_.".contains(c));
    let name = text.rsplit(is_separator).next().unwrap_or_default();
    SECRETS.iter().any(|secret| name.contains(secret))
}

/// `text` without the user and the password of a URL. A digest's `@` is no user's, and neither is one in a path.
fn without_user(text: &str) -> String {
    let start = ["//", ":/"].iter().filter_map(|mark| Some(text.find(mark)? + mark.len())).max();
    let (scheme, rest) = text.split_at(start.unwrap_or(0));
    match rest.rsplit_once('@') {
        Some((_, host)) if start.is_none() && host.starts_with("sha256:") => text.to_owned(),
        Some((user, host)) if user.contains(':') || (start.is_some() && !user.contains('/')) => {
            format!("{scheme}{HIDDEN}@{host}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_query_or_a_signature_is_shown_however_it_is_written() {
        let urls = [
            "https://example.com/a.mp4?sig=SECRET",
            "https:/acct.blob.core.windows.net/c/out.mp4?sig=SECRET%3D",
            "http//x?sig=SECRET",
            "x?SECRET",
            "x?a=b SECRET\nSECRET",
            "HTTPS://X/Y%3FSECRET",
            "a&X-Amz-Signature=SECRET",
            "a;sig%3DSECRET",
            "https://example.com/a#access_token=SECRET",
            "PASSWORD=SECRET",
            "ü=1&sig=SECRET",
            "https://alice:SECRET@example.com/a",
            "https://alice:SEC/SECRET@example.com/a",
            "https:/alice:SECRET@example.com/a",
            "https://SECRET@example.com/a",
            "http//SECRET@example.com/a",
            "alice:SECRET@example.com",
            "DB=postgres://alice:SECRET@db/x",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x?sig=SECRET",
        ];
        for url in urls {
            let shown = shown(url);
            assert!(!shown.contains("SEC") && shown.contains("***"), "{url} is shown as {shown}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_was_given() {
        let harmless = [
            "S3://mayfly-data/in.mp4",
            "s3://mayfly-data/year=2026/photo@2x.png",
            "https://example.com:8443/a",
            "public.ecr.aws/docker/library/busybox:1@sha256:0a1b",
            "public.ecr.aws/docker/library/busybox@sha256:0a1b",
            "alice@example.com",
            "seg_*.ts",
            "what?",
        ];
        for text in harmless {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_is_shown_is_short_and_visible() {
        let long = "ü".repeat(SHOWN_LIMIT + 1);
        assert_eq!(shown(&long), format!("{} ...", "ü".repeat(SHOWN_LIMIT)));
        assert_eq!(shown(&long[2..]), "ü".repeat(SHOWN_LIMIT));
        assert_eq!(shown("a\u{1b}[31mb\0"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(shown(""), "an empty text");
    }
}
