//! What has just been made is not seen at once, where a fault says so.

use local_ec2::{Fault, Quotas};

use crate::cloud::{Cloud, code, eventually, filter};

/// The job of what nobody sees for longer than a test lasts.
const HIDDEN: &str = "hidden";

/// What is said about a resource by Describe with its id, by Describe with the job's tag (how many it finds), and by a
/// call that names it.
macro_rules! looks {
    ($cloud:expr, $describe:ident, $ids:ident, $list:ident, $id:expr, $use:expr) => {{
        let by_tag = $cloud.client.$describe().filters(filter("tag:mayfly:job", HIDDEN)).send().await;
        let found = by_tag.expect("an answer").$list().len();
        (code($cloud.client.$describe().$ids($id).send().await), found, code($use.send().await))
    }};
}

fn unseen(described: &str, used: &str) -> (String, usize, String) {
    (described.to_owned(), 0, used.to_owned())
}

#[tokio::test]
async fn no_call_sees_a_network_that_is_hidden() {
    let cloud = Cloud::start().await;
    cloud.ec2.faults().add(HIDDEN, Fault::Unseen { seconds: 1_000_000 });
    let client = &cloud.client;
    let (seen, gateway) = (cloud.vpc("a").await, cloud.gateway(None, "a").await);
    let attach =
        |gateway: &str, vpc: &str| client.attach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc);

    let vpc = &cloud.vpc(HIDDEN).await;
    assert_eq!(
        looks!(cloud, describe_vpcs, vpc_ids, vpcs, vpc, attach(&gateway, vpc)),
        unseen("InvalidVpcID.NotFound", "InvalidVpcID.NotFound")
    );
    let subnet = &cloud.subnet(&seen, "10.1.0.0/24", HIDDEN).await;
    let delete = client.delete_subnet().subnet_id(subnet);
    assert_eq!(
        looks!(cloud, describe_subnets, subnet_ids, subnets, subnet, delete),
        unseen("InvalidSubnetID.NotFound", "InvalidSubnetId.NotFound")
    );
    let task = cloud.ec2.create_task_interface(subnet, &[], false, &[].into(), "").await;
    assert_eq!(task.expect_err("hidden").code, "InvalidSubnetID.NotFound");
    let group = &cloud.group(&seen, "task", HIDDEN).await;
    let delete = client.delete_security_group().group_id(group);
    assert_eq!(
        looks!(cloud, describe_security_groups, group_ids, security_groups, group, delete),
        unseen("InvalidGroup.NotFound", "InvalidGroup.NotFound")
    );
    let gateway = &cloud.gateway(None, HIDDEN).await;
    let attach = attach(gateway, &seen);
    assert_eq!(
        looks!(cloud, describe_internet_gateways, internet_gateway_ids, internet_gateways, gateway, attach),
        unseen("InvalidInternetGateway.NotFound", "InvalidInternetGatewayID.NotFound")
    );
}

#[tokio::test]
async fn what_is_hidden_exists_all_the_same() {
    let cloud = Cloud::start_with(0.001, Quotas { vpcs: 3, ..Quotas::default() }).await;
    cloud.ec2.faults().add(HIDDEN, Fault::Unseen { seconds: 1_000_000 });
    let vpc = cloud.vpc("a").await;
    cloud.subnet(&vpc, "10.1.0.0/24", HIDDEN).await;
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "DependencyViolation");
    cloud.vpc(HIDDEN).await;
    let another = cloud.client.create_vpc().cidr_block("10.1.0.0/16").send().await;
    assert_eq!(code(another), "VpcLimitExceeded");
}

#[tokio::test]
async fn what_is_new_is_seen_in_the_end() {
    let cloud = Cloud::start().await;
    cloud.ec2.faults().add("*", Fault::Unseen { seconds: 100 });
    let vpc = cloud.vpc("a").await;
    let describe = async || code(cloud.client.describe_vpcs().vpc_ids(&vpc).send().await);
    eventually("seeing the VPC", async || describe().await == "OK").await;
    assert_eq!(code(cloud.client.delete_vpc().vpc_id(&vpc).send().await), "OK");
}
