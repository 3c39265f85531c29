//! All that any job of a stack has in Elastic Load Balancing, with its tags, for the sweeper.

use aws_sdk_elasticloadbalancingv2::Client;
use mayfly_lambda::error::Error;
use mayfly_lambda::search::Search;
use mayfly_model::names::BALANCING;
use mayfly_model::tags::Tagged;

use crate::find::{all_load_balancers, all_target_groups, arns, tags_of};
use crate::pairs;

/// Load balancers, which cost by the hour.
pub async fn load_balancers(elb: &Client) -> Search<Tagged> {
    let named = all_load_balancers(elb).await.map(|mut found| {
        found.retain(|found| is_named(found.load_balancer_name()));
        arns(&found, |found| found.load_balancer_arn())
    });
    tagged(elb, named).await
}

/// Target groups.
pub async fn target_groups(elb: &Client) -> Search<Tagged> {
    let named = all_target_groups(elb).await.map(|mut found| {
        found.retain(|found| is_named(found.target_group_name()));
        arns(&found, |found| found.target_group_arn())
    });
    tagged(elb, named).await
}

fn is_named(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.starts_with(BALANCING))
}

/// Of all stacks: whose each is, the caller reads from the tags.
async fn tagged(elb: &Client, arns: Result<Vec<String>, Error>) -> Search<Tagged> {
    let mut search = Search::default();
    let described = match arns {
        Ok(arns) => tags_of(elb, arns).await,
        Err(error) => Err(error),
    };
    search.add(described.map(|described| {
        described.iter().map(|(arn, description)| Tagged::new(arn, pairs(description.tags()))).collect()
    }));
    search
}
