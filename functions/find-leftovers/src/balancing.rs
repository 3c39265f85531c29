//! The job's load balancer and target groups, and what a deleted load balancer still has in a network.

use aws_sdk_ec2::types::NetworkInterface;
use aws_sdk_elasticloadbalancingv2::Client;
use mayfly_ec2::find::{self, Described};
use mayfly_lambda::error::Error;
use mayfly_model::inventory::{EXISTS, Kind, Resource, UNKNOWN};
use mayfly_model::tags::Owner;
use tokio::try_join;

pub async fn parts(
    elb: &Client,
    ec2: &aws_sdk_ec2::Client,
    owner: Owner<'_>,
) -> Result<Vec<Resource>, Error> {
    let (load_balancers, groups, interfaces) = try_join!(
        mayfly_elb::load_balancers(elb, owner),
        mayfly_elb::target_groups(elb, owner),
        find::load_balancer_interfaces(ec2, owner),
    )?;
    let load_balancers = load_balancers.iter().map(|found| {
        let state = found.state().and_then(|state| state.code()).map_or(UNKNOWN, |code| code.as_str());
        Resource::new(Kind::LoadBalancer, found.load_balancer_arn().unwrap_or_default(), state)
    });
    let groups = groups
        .iter()
        .map(|found| Resource::new(Kind::TargetGroup, found.target_group_arn().unwrap_or_default(), EXISTS));
    // They carry no tags, and are the job's.
    let own = |one: &NetworkInterface| Resource::new(NetworkInterface::KIND, one.id(), one.state_name());
    Ok(load_balancers.chain(groups).chain(interfaces.iter().map(own)).collect())
}
