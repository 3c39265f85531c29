//! What a deleted load balancer leaves for a while.

use local_elb::Fault;

use crate::cloud::{Cloud, code, eventually};

#[tokio::test]
async fn a_deleted_load_balancer_holds_its_target_group_and_its_group_until_its_interfaces_are_gone() {
    let cloud = Cloud::start();
    cloud.faults.add("a", Fault::InterfacesLinger { seconds: 300 });
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let group = cloud.target_group(&network).send().await.unwrap();
    let group = group.target_groups()[0].target_group_arn().unwrap();
    cloud.listener(arn, 20080, group).await;
    let delete_group = async || code(cloud.client.delete_target_group().target_group_arn(group).send().await);
    assert_eq!(delete_group().await, "ResourceInUse");
    for _ in 0..2 {
        let delete = cloud.client.delete_load_balancer().load_balancer_arn(arn);
        assert_eq!(code(delete.send().await), "OK", "gone already is no error");
    }
    let describe = cloud.client.describe_load_balancers().load_balancer_arns(arn);
    assert_eq!(code(describe.send().await), "LoadBalancerNotFound");
    assert!(!cloud.elb.has_load_balancer(group));
    assert_eq!(delete_group().await, "ResourceInUse");
    let interfaces = async || {
        let described = cloud.network.describe_network_interfaces().send().await.unwrap();
        let of_it = |description: &str| description.starts_with("ELB net/web/");
        described.network_interfaces().iter().filter(|one| one.description().is_some_and(of_it)).count()
    };
    assert_eq!(interfaces().await, 2);
    let in_use = cloud.network.delete_security_group().group_id(&network.group).send().await;
    let in_use = aws_sdk_ec2::error::ProvideErrorMetadata::code(&in_use.unwrap_err()).map(str::to_owned);
    assert_eq!(in_use.as_deref(), Some("DependencyViolation"));
    eventually("the end of the interfaces", async || interfaces().await == 0).await;
    eventually("the group's end", async || delete_group().await == "OK").await;
    assert_eq!(delete_group().await, "OK", "gone already is no error");
}
