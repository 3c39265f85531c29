//! Why an image cannot be pulled: Developer Guide, "CannotPullContainer task errors" and "ResourceInitializationError
//! task errors", and the words of containerd, Fargate's runtime.

use crate::runtime::NoImage;

/// A connection for which nothing leads to the server; an address for documentation (RFC 5737).
pub(crate) const TIMEOUT: &str = "dial tcp 192.0.2.1:443: i/o timeout";

/// One to an IPv4 address, from a task that has none: as seen in IPv6-only subnets, where an image's ordinary ECR host has
/// only such addresses.
pub(crate) const NO_IPV4: &str = "dial tcp 192.0.2.1:443: connect: network is unreachable";

/// Why the runtime has no image for this processor.
pub(crate) fn failed(image: &str, architecture: &str, why: &NoImage) -> String {
    match why {
        NoImage::NotFound => not_found(image),
        NoImage::Denied => denied(image),
        NoImage::Unreachable(why) => unreachable(image, why),
        // As seen on Fargate (PrefectHQ/prefect#12003).
        NoImage::Limited(said) => format!(
            "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: \
             unexpected status code {image}: 429 Too Many Requests - Server message: {said}"
        ),
        // As seen on Fargate (aviswerdlow/relay#71).
        NoImage::OtherPlatform => format!(
            "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain \
             descriptor matching platform 'linux/{architecture}'."
        ),
        NoImage::Broken(why) => {
            format!("CannotPullContainerError: ref pull has been retried 1 time(s): {why}: {image}")
        }
    }
}

/// The registry does not know the image.
fn not_found(image: &str) -> String {
    unresolved(image, 1, &format!("{image}: not found"))
}

/// The registry does not answer.
pub(crate) fn timed_out(image: &str) -> String {
    unreachable(image, TIMEOUT)
}

/// There is no connection to the registry, for this reason.
pub(crate) fn unreachable(image: &str, why: &str) -> String {
    unresolved(image, 5, &format!("failed to do request: Head: {why}"))
}

/// There is no connection to where the registry has the image's layers. containerd's words, as seen by others
/// (runfinch/finch#699); ECS's before them as above.
pub(crate) fn layers_unreachable(image: &str, why: &str) -> String {
    format!(
        "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: failed open: \
         failed to do request: Get: {why}: {image}"
    )
}

/// The registry does not let the image be pulled.
pub(crate) fn denied(image: &str) -> String {
    let why = "pull access denied, repository does not exist or may require authorization: server message: \
               insufficient_scope: authorization failed";
    unresolved(image, 1, why)
}

/// The task has no way to Amazon ECR, which it asks for a token before anything else.
pub(crate) fn ecr_unreachable(region: &str, why: &str) -> String {
    format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from \
         Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. \
         operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, https response error \
         StatusCode: 0, RequestID: , request send failed, Post \"https://api.ecr.{region}.amazonaws.com/\": {why}"
    )
}

fn unresolved(image: &str, tries: u32, why: &str) -> String {
    format!(
        "CannotPullContainerError: pull image manifest has been retried {tries} time(s): failed to resolve ref {image}: \
         {why}"
    )
}
