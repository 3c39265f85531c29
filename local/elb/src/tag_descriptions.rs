//! DescribeTags, which is the only way to look at tags.

use serde::Serialize;
use tokio::time::Instant;

use crate::call::Call;
use crate::error::ApiError;
use crate::tags::Tags;
use crate::xml::{self, Members};
use crate::{Elb, State};

/// "You can specify up to 20 resources in a single call" (API reference, DescribeTags).
const MOST_ARNS: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeTagsResult {
    tag_descriptions: Members<TagDescription>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagDescription {
    resource_arn: String,
    tags: Tags,
}

impl Elb {
    /// API reference: DescribeTags.
    pub(crate) async fn describe_tags(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let arns = call.form.take_list("ResourceArns");
        call.describe().await?;
        if !(1..=MOST_ARNS).contains(&arns.len()) {
            let message = format!("1 to {MOST_ARNS} resources can be described at once, not {}", arns.len());
            return Err(ApiError::validation(message));
        }
        let now = self.upstream.clock.instant();
        let state = self.state();
        let described = arns.into_iter().map(|arn| {
            let tags = state.tags_seen(&arn, now)?;
            Ok(TagDescription { resource_arn: arn, tags })
        });
        let tag_descriptions = described.collect::<Result<_, ApiError>>()?;
        xml::document(call.action, &DescribeTagsResult { tag_descriptions }, call.request_id)
    }
}

impl State {
    fn tags_seen(&self, arn: &str, now: Instant) -> Result<Tags, ApiError> {
        let kind = arn.split(':').nth(5).and_then(|resource| resource.split('/').next()).unwrap_or_default();
        match kind {
            "loadbalancer" => Ok(self.load_balancer(arn, now)?.tags.clone()),
            "targetgroup" => Ok(self.target_group(arn, now)?.tags.clone()),
            "listener" => Ok(self.listener(arn, now)?.tags.clone()),
            _ => Err(ApiError::validation(format!("'{arn}' is not a valid resource ARN"))),
        }
    }
}
