//! CreateBucket and HeadBucket.

use axum::body::{Body, BodyDataStream};
use http::{Response, header};
use local_aws::policy::Context;
use serde::Deserialize;

use crate::S3;
use crate::access::Call;
use crate::body::document;
use crate::error::ApiError;
use crate::xml;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateBucketConfiguration {
    location_constraint: Option<String>,
}

impl S3 {
    /// Source: S3 API Reference, `CreateBucket`; recorded, `test_create_bucket_head_bucket`.
    pub(crate) async fn create_bucket(
        &self,
        call: Call<'_>,
        body: &mut BodyDataStream,
    ) -> Result<Response<Body>, ApiError> {
        call.query.finish()?;
        let document = document(&call.parts.headers, &call.payload, body).await?;
        let bucket = &call.target.bucket;
        call.authorize("CreateBucket", &call.target.bucket_arn(), Context::new()).await?;
        check_name(bucket)?;
        let wanted: CreateBucketConfiguration =
            if document.is_empty() { CreateBucketConfiguration::default() } else { xml::read(&document)? };
        let wanted = wanted.location_constraint.unwrap_or_default();
        let region = &self.config.upstream.region;
        // us-east-1 is what is meant where nothing is said, and cannot be said.
        if wanted != if region == "us-east-1" { "" } else { region } {
            let named = if wanted.is_empty() { "unspecified" } else { &wanted };
            return Err(ApiError::new(
                "IllegalLocationConstraintException",
                format!(
                    "The {named} location constraint is incompatible for the region specific endpoint this request \
                     was sent to."
                ),
            ));
        }
        if !self.state().make(bucket) {
            let message =
                "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(ApiError::new("BucketAlreadyOwnedByYou", message).with("BucketName", bucket));
        }
        let response = Response::builder().header(header::LOCATION, format!("/{bucket}"));
        Ok(response.header("x-amz-bucket-arn", call.target.bucket_arn()).body(Body::empty())?)
    }

    /// Source: S3 API Reference, `HeadBucket`; recorded, `test_create_bucket_head_bucket`.
    pub(crate) async fn head_bucket(&self, call: Call<'_>) -> Result<Response<Body>, ApiError> {
        call.query.finish()?;
        // That a bucket that is not there is 404 to everybody is a guess.
        self.state().bucket(&call.target.bucket)?;
        let arn = call.target.bucket_arn();
        call.authorize("ListBucket", &arn, Context::new()).await?;
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "application/xml")
            .header("x-amz-bucket-region", &self.config.upstream.region)
            .header("x-amz-bucket-arn", arn)
            .header("x-amz-access-point-alias", "false");
        Ok(response.body(Body::empty())?)
    }
}

/// Source: S3 user guide, "General purpose bucket naming rules": the shape, and none of the reserved words.
fn check_name(name: &str) -> Result<(), ApiError> {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_right = (3..=63).contains(&name.len())
        && name.chars().all(|c| is_edge(c) || c == '-' || c == '.')
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err();
    if is_right {
        return Ok(());
    }
    Err(ApiError::new("InvalidBucketName", "The specified bucket is not valid.").with("BucketName", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_s_name_keeps_the_rules() {
        for name in ["abc", "my-bucket.1", &"b".repeat(63)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["ab", "Abc", "a_b", "-ab", "ab.", "a..b", "10.0.0.1", &"b".repeat(64)] {
            assert_eq!(check_name(name).unwrap_err().code, "InvalidBucketName", "{name}");
        }
    }
}
