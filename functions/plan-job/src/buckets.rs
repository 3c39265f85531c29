//! Refuses buckets that do not exist or that are in another Region: a URL signed for one Region is not valid in
//! another, and traffic between Regions costs money.

use std::collections::BTreeSet;

use aws_sdk_s3::Client;
use mayfly_lambda::error::{Error, Undone};
use mayfly_model::job::{S3Uri, Work};

pub async fn check(s3: &Client, region: &str, work: &Work) -> Result<(), Error> {
    let places = work.outputs.iter().map(|output| &output.to).chain(&work.output_list);
    let uris = work.inputs.iter().map(|input| &input.from).chain(places);
    let buckets: BTreeSet<&str> = uris.filter_map(|uri| S3Uri::parse(uri)).map(|uri| uri.bucket).collect();
    for bucket in buckets {
        let found = match s3.head_bucket().bucket(bucket).send().await {
            Ok(head) => head.bucket_region().map(str::to_owned),
            Err(error) => match error.raw_response() {
                // Source: S3 API Reference, `HeadBucket`: a bucket of another Region answers 301 with its Region.
                Some(response) if response.status().as_u16() == 301 => {
                    response.headers().get("x-amz-bucket-region").map(str::to_owned)
                }
                response => {
                    let told =
                        response.and_then(|response| refusal(bucket, region, response.status().as_u16()));
                    return Err(
                        told.unwrap_or_else(|| Error::aws(&format!("look at the bucket {bucket}"))(error))
                    );
                }
            },
        };
        if let Some(found) = found.filter(|found| found != region) {
            return Err(Error::InvalidJob(format!(
                "the bucket {bucket} is in {found}; allowed: buckets in {region}, where the job runs"
            )));
        }
    }
    Ok(())
}

/// What the status alone says, since a HEAD's answer has no body that could say why.
fn refusal(bucket: &str, region: &str, status: u16) -> Option<Error> {
    let doing = format!("look at the bucket {bucket}");
    match status {
        404 => Some(Error::InvalidJob(format!("the bucket {bucket} does not exist; create it in {region}"))),
        403 => Some(Error::AccessDenied(Undone::new(
            doing,
            "S3 denied s3:ListBucket: the bucket may be another account's, or its policy forbids it",
        ))),
        // Source: S3 API Reference, "Error responses": 503 `SlowDown`, 500 `InternalError`; 429 where others throttle.
        429 | 500..=599 => Some(Error::unavailable(doing, format!("S3 answered {status}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_s3_that_is_busy_is_asked_again() {
        for (status, name) in [
            (404, Some("InvalidJob")),
            (403, Some("AccessDenied")),
            (429, Some("Unavailable")),
            (500, Some("Unavailable")),
            (503, Some("Unavailable")),
            (400, None),
        ] {
            let told = refusal("videos", "eu-west-1", status);
            assert_eq!(told.as_ref().map(Error::name), name, "{status}");
        }
    }
}
