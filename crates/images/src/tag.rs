//! What a copy is called.

use oci_client::Reference;

use crate::digest::digest;
use crate::error::Error;
use crate::remote::parsed;

/// What is repeated of the name and of the tag: a tag has at most 128 characters.
/// Source: OCI distribution specification, "Pulling manifests".
const PART_LIMIT: usize = 48;

/// A tag for the copy of the image called `reference`: for a person its name and its tag, as in `nginx-1.29-5d8f0c3a`, and
/// for the repository, which may have copies of many, eight digits that tell the whole reference.
pub fn tag(reference: &str) -> Result<String, Error> {
    let reference: Reference = parsed(reference)?;
    let name = reference.repository().rsplit('/').next().unwrap_or_default();
    let version = match (reference.tag(), reference.digest()) {
        (Some(tag), _) => tag,
        (None, Some(digest)) => digest.split_once(':').map_or(digest, |(_, hex)| &hex[..12]),
        (None, None) => "latest",
    };
    let whole = digest(reference.whole().as_bytes());
    let part = |text: &str| text.chars().take(PART_LIMIT).collect::<String>();
    Ok(format!("{}-{}-{}", part(name), part(version), &whole["sha256:".len()..][..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_called_like_the_image_and_like_no_other() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for (reference, begins) in [
            ("nginx", "nginx-latest-"),
            ("docker.io/library/nginx:1.29", "nginx-1.29-"),
            ("public.ecr.aws/docker/library/nginx:1.29", "nginx-1.29-"),
            (&format!("ghcr.io/a/b@{digest}"), "b-0123456789ab-"),
        ] {
            let tag = tag(reference).expect("a reference");
            assert!(tag.starts_with(begins) && tag.len() == begins.len() + 8, "{reference}: {tag}");
        }
        let tags = ["nginx:1", "library/nginx:1", "docker.io/library/nginx:1"].map(|name| tag(name).unwrap());
        assert!(tags.iter().all(|tag| *tag == tags[0]), "one image, however it is written: {tags:?}");
        assert_ne!(tag("a/nginx:1").unwrap(), tag("b/nginx:1").unwrap());
        assert!(tag(&format!("{}:{}", "a".repeat(200), "b".repeat(128))).unwrap().len() <= 128);
    }

    #[test]
    fn what_is_no_reference_is_refused_in_words() {
        for text in ["", "Nginx", "nginx:", "a b"] {
            let error = tag(text).expect_err("no reference").to_string();
            assert!(error.contains("docker.io/library/nginx:1.29"), "{error}");
        }
    }
}
