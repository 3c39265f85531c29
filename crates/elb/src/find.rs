//! A job's load balancers and target groups. Elastic Load Balancing filters by no tag, so all of the account's are listed,
//! those kept whose names are the job's, and of these the tags compared: a name alone proves nothing.
//! Source: Elastic Load Balancing API Reference, `DescribeLoadBalancers`, `DescribeTargetGroups`, `DescribeTags`.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::error::ProvideErrorMetadata;
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer, TagDescription, TargetGroup};
use mayfly_lambda::error::Error;
use mayfly_model::tags::Owner;

use crate::codes::is_not_found;
use crate::pairs;

/// Source: Elastic Load Balancing API Reference, `DescribeTags`, `ResourceArns`.
const ARNS_PER_CALL: usize = 20;

/// The job's load balancers.
///
/// # Errors
/// As [`Error::aws`].
pub async fn load_balancers(elb: &Client, owner: Owner<'_>) -> Result<Vec<LoadBalancer>, Error> {
    let name = owner.names().load_balancer();
    let mut found = all_load_balancers(elb).await?;
    found.retain(|found| found.load_balancer_name() == Some(&name));
    let owned = owned(elb, owner, arns(&found, |found| found.load_balancer_arn())).await?;
    found.retain(|found| found.load_balancer_arn().is_some_and(|arn| owned.contains(&arn.to_owned())));
    Ok(found)
}

/// The job's target groups.
///
/// # Errors
/// As [`Error::aws`].
pub async fn target_groups(elb: &Client, owner: Owner<'_>) -> Result<Vec<TargetGroup>, Error> {
    let prefix = format!("{}-", owner.names().load_balancer());
    let mut found = all_target_groups(elb).await?;
    found.retain(|found| found.target_group_name().is_some_and(|name| name.starts_with(&prefix)));
    let owned = owned(elb, owner, arns(&found, |found| found.target_group_arn())).await?;
    found.retain(|found| found.target_group_arn().is_some_and(|arn| owned.contains(&arn.to_owned())));
    Ok(found)
}

/// Whether these, which a creating call has answered, are the job's: of one that is there it answers under the same name too,
/// whoever made it.
///
/// # Errors
/// [`Error::Internal`] where one is not; [`Error::NotVisibleYet`] where one cannot be seen yet.
pub async fn check_owner(
    elb: &Client,
    owner: Owner<'_>,
    doing: &str,
    arns: Vec<String>,
) -> Result<(), Error> {
    let mut tags = tags_of(elb, arns.clone()).await?;
    for arn in arns {
        let Some(description) = tags.remove(&arn) else {
            return Err(Error::not_visible_yet(doing, format!("{arn} is not described yet")));
        };
        if !owner.owns(pairs(description.tags())) {
            let detail = format!("{arn} has its name and is not the job's; delete it if nobody needs it");
            return Err(Error::internal(doing, detail));
        }
    }
    Ok(())
}

pub(crate) async fn all_load_balancers(elb: &Client) -> Result<Vec<LoadBalancer>, Error> {
    let pages = elb.describe_load_balancers().into_paginator().items().send();
    pages.try_collect().await.map_err(Error::aws("list the load balancers"))
}

pub(crate) async fn all_target_groups(elb: &Client) -> Result<Vec<TargetGroup>, Error> {
    let pages = elb.describe_target_groups().into_paginator().items().send();
    pages.try_collect().await.map_err(Error::aws("list the target groups"))
}

pub(crate) fn arns<T>(found: &[T], arn: impl Fn(&T) -> Option<&str>) -> Vec<String> {
    found.iter().filter_map(arn).map(str::to_owned).collect()
}

async fn owned(elb: &Client, owner: Owner<'_>, arns: Vec<String>) -> Result<Vec<String>, Error> {
    let described = tags_of(elb, arns).await?;
    let own = described.into_iter().filter(|(_, description)| owner.owns(pairs(description.tags())));
    Ok(own.map(|(arn, _)| arn).collect())
}

/// The tags of what is still there, by ARN.
pub(crate) async fn tags_of(
    elb: &Client,
    arns: Vec<String>,
) -> Result<BTreeMap<String, TagDescription>, Error> {
    let mut found = BTreeMap::new();
    for some in arns.chunks(ARNS_PER_CALL) {
        for description in describe(elb, some).await? {
            found.insert(description.resource_arn().unwrap_or_default().to_owned(), description);
        }
    }
    Ok(found)
}

/// One that is gone fails the call for all of them: then each is asked for by itself.
async fn describe(elb: &Client, arns: &[String]) -> Result<Vec<TagDescription>, Error> {
    let ask =
        async |arns: &[String]| match elb.describe_tags().set_resource_arns(Some(arns.to_vec())).send().await
        {
            Ok(described) => Ok(described.tag_descriptions),
            Err(error) if error.code().is_some_and(is_not_found) => Ok(None),
            Err(error) => Err(Error::aws("describe the tags of load balancers and target groups")(error)),
        };
    if let Some(described) = ask(arns).await? {
        return Ok(described);
    }
    let mut found = Vec::new();
    for arn in arns {
        found.extend(ask(std::slice::from_ref(arn)).await?.unwrap_or_default());
    }
    Ok(found)
}
