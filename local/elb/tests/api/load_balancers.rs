//! Load balancers: what they are made of, and how they come to be active.

use aws_sdk_elasticloadbalancingv2::types::{LoadBalancerAttribute, LoadBalancerSchemeEnum};
use local_elb::{Fault, Quotas};

use crate::cloud::{Cloud, FAST, STANDSTILL, code, job};

#[tokio::test]
async fn a_load_balancer_provisions_and_is_then_active_and_a_second_call_answers_the_same() {
    let cloud = Cloud::start();
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let [made] = made.load_balancers() else { panic!("one") };
    let arn = made.load_balancer_arn().unwrap();
    assert!(arn.contains(":loadbalancer/net/web/"), "{arn}");
    assert_eq!(made.state().unwrap().code().unwrap().as_str(), "provisioning");
    assert_eq!(made.security_groups(), std::slice::from_ref(&network.group));
    assert_eq!(made.availability_zones().len(), 2);
    let address: std::net::IpAddr = made.dns_name().unwrap().parse().unwrap();
    assert!(address.is_loopback());
    cloud.active(arn).await;
    let again = cloud.load_balancer(&network).tags(job("b")).send().await.unwrap_err();
    assert_eq!(again.into_service_error().meta().code(), Some("DuplicateTagKeys"));
    let again = cloud.load_balancer(&network).send().await.unwrap();
    assert_eq!(again.load_balancers()[0].load_balancer_arn(), Some(arn));
    let other = cloud.load_balancer(&network).scheme(LoadBalancerSchemeEnum::Internal);
    assert_eq!(code(other.send().await), "DuplicateLoadBalancerName");
}

#[tokio::test]
async fn an_internal_load_balancer_has_a_name_that_leads_nowhere_here() {
    let cloud = Cloud::start_with(STANDSTILL, Quotas::default());
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).scheme(LoadBalancerSchemeEnum::Internal).send().await.unwrap();
    let name = made.load_balancers()[0].dns_name().unwrap();
    assert!(name.starts_with("web-") && name.ends_with(".elb.eu-west-1.amazonaws.com"), "{name}");
}

#[tokio::test]
async fn what_no_load_balancer_can_be_made_of_is_refused() {
    let cloud = Cloud::start_with(FAST, Quotas { load_balancers: 1, ..Quotas::default() });
    let network = cloud.network().await;
    let create = || cloud.load_balancer(&network);
    for name in ["internal-web", "-web", "web-", "we_b", &"w".repeat(33)] {
        assert_eq!(code(create().name(name).send().await), "ValidationError", "{name}");
    }
    let (vpc, closed) = (&network.vpc, cloud.vpc(false).await);
    let twin = cloud.subnet(vpc, "10.1.2.0/24", "a").await;
    let small = cloud.subnet(vpc, "10.1.3.0/28", "c").await;
    let elsewhere = cloud.subnet(&closed, "10.1.0.0/24", "a").await;
    for _ in 0..4 {
        cloud.task_interface(&network, &small).await;
    }
    let subnets = |ids: &[&String]| Some(ids.iter().map(|id| (*id).clone()).collect::<Vec<_>>());
    for (ids, expected) in [
        (subnets(&[&network.subnets[0], &twin]), "InvalidConfigurationRequest"),
        (subnets(&[&network.subnets[0], &elsewhere]), "InvalidConfigurationRequest"),
        (subnets(&[&small]), "InvalidSubnet"),
        (subnets(&[&elsewhere]), "InvalidSubnet"),
        (subnets(&[&"subnet-00000000000000000".to_owned()]), "SubnetNotFound"),
        (subnets(&[]), "ValidationError"),
    ] {
        assert_eq!(code(create().set_subnets(ids.clone()).send().await), expected, "{ids:?}");
    }
    let group = create().set_security_groups(Some(vec!["sg-00000000000000000".into()]));
    assert_eq!(code(group.send().await), "InvalidSecurityGroup");
    assert_eq!(code(create().send().await), "OK");
    assert_eq!(code(create().name("other").send().await), "TooManyLoadBalancers");
}

#[tokio::test]
async fn load_balancers_are_described_by_arn_or_name_and_by_no_tag() {
    let cloud = Cloud::start_with(STANDSTILL, Quotas::default());
    let network = cloud.network().await;
    for name in ["one", "two", "three"] {
        cloud.load_balancer(&network).name(name).send().await.unwrap();
    }
    let describe = || cloud.client.describe_load_balancers();
    let page = describe().page_size(2).send().await.unwrap();
    assert_eq!(page.load_balancers().len(), 2);
    let rest = describe().marker(page.next_marker().unwrap()).send().await.unwrap();
    assert_eq!((rest.load_balancers().len(), rest.next_marker()), (1, None));
    let named = describe().names("two").send().await.unwrap();
    let arn = named.load_balancers()[0].load_balancer_arn().unwrap();
    assert_eq!(code(describe().names("two").names("four").send().await), "LoadBalancerNotFound");
    let tags = cloud.client.describe_tags().resource_arns(arn).send().await.unwrap();
    assert_eq!(tags.tag_descriptions()[0].tags(), [job("a")]);
    let many = cloud.client.describe_tags().set_resource_arns(Some(vec![arn.to_owned(); 21]));
    assert_eq!(code(many.send().await), "ValidationError");
    let gone = cloud.client.describe_tags().resource_arns(arn.replace("net/two", "net/gone"));
    assert_eq!(code(gone.send().await), "LoadBalancerNotFound");
}

#[tokio::test]
async fn only_attributes_that_there_are_can_be_changed() {
    let cloud = Cloud::start_with(STANDSTILL, Quotas::default());
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let modify = async |key: &str, value: &str| {
        let attribute = LoadBalancerAttribute::builder().key(key).value(value).build();
        let modify = cloud.client.modify_load_balancer_attributes().load_balancer_arn(arn);
        code(modify.attributes(attribute).send().await)
    };
    assert_eq!(modify("load_balancing.cross_zone.enabled", "true").await, "OK");
    assert_eq!(modify("load_balancing.cross_zone.enabled", "yes").await, "ValidationError");
    assert_eq!(modify("cross_zone", "true").await, "ValidationError");
}

#[tokio::test]
async fn a_new_load_balancer_may_not_be_seen_yet() {
    let cloud = Cloud::start();
    cloud.faults.add("a", Fault::Unseen { seconds: 1000 });
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let describe = async || code(cloud.client.describe_load_balancers().load_balancer_arns(arn).send().await);
    assert_eq!(describe().await, "LoadBalancerNotFound");
    let tags = cloud.client.describe_tags().resource_arns(arn).send().await;
    assert_eq!(code(tags), "LoadBalancerNotFound");
    let again = cloud.load_balancer(&network).send().await.unwrap();
    assert_eq!(again.load_balancers()[0].load_balancer_arn(), Some(arn));
    crate::cloud::eventually("the load balancer", async || describe().await == "OK").await;
}
