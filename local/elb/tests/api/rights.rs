//! What a role needs to make, change and delete, and to tag what it makes.

use anyhow::Result;
use aws_credential_types::Credentials;
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancerTypeEnum, ProtocolEnum, Tag};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use local_aws::auth::Rights;
use local_aws::policy::Policy;
use local_aws::upstream::Session;
use serde_json::{Value, json};

use crate::cloud::{ACCOUNT, Cloud, REGION, code, forward};

/// The roles of the tests; the key of each is its name.
#[derive(Debug)]
pub struct Roles;

pub fn keys(role: &str) -> Credentials {
    Credentials::from_keys(role, "secret", None)
}

impl Rights for Roles {
    fn session<'a>(&'a self, access_key: &'a str) -> BoxFuture<'a, Result<Option<Session>>> {
        async move {
            Ok(Some(Session {
                arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{access_key}/test"),
                role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{access_key}"),
                name: "test".into(),
                credentials: keys(access_key),
                policy: None,
            }))
        }
        .boxed()
    }

    fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, Result<Vec<Policy>>> {
        let role = role_arn.rsplit('/').next().unwrap_or_default();
        let document = json!({ "Version": "2012-10-17", "Statement": statements(role) });
        async move { Ok(vec![Policy::parse(&document.to_string())?]) }.boxed()
    }
}

/// What a role may do.
fn statements(role: &str) -> Value {
    let arn = |kind: &str| format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{kind}/*");
    let of_stack = |key: &str| json!({ "StringEquals": { format!("{key}/mayfly:stack"): "s" } });
    let action = |name: &str| format!("elasticloadbalancing:{name}");
    let create = json!({
        "Effect": "Allow",
        "Action": [action("CreateLoadBalancer"), action("CreateTargetGroup")],
        "Resource": [arn("loadbalancer/net/web"), arn("targetgroup/web")],
        "Condition": of_stack("aws:RequestTag"),
    });
    let change = json!({
        "Effect": "Allow",
        "Action": [action("CreateListener"), action("DeleteLoadBalancer"), action("DeleteTargetGroup")],
        "Resource": [arn("loadbalancer/net/web"), arn("targetgroup/web")],
        "Condition": of_stack("aws:ResourceTag"),
    });
    let tag = |creates: Value| {
        json!({
            "Effect": "Allow",
            "Action": action("AddTags"),
            "Resource": [arn("loadbalancer/net/web"), arn("targetgroup/web"), arn("listener/net/web")],
            "Condition": { "StringEquals": { "elasticloadbalancing:CreateAction": creates } },
        })
    };
    match role {
        "Owner" => {
            json!([create, change, tag(json!(["CreateLoadBalancer", "CreateTargetGroup", "CreateListener"]))])
        }
        "NoTagger" => json!([create, change]),
        "WrongTagger" => json!([create, change, tag(json!(["CreateTargetGroup"]))]),
        other => panic!("there is no role {other}"),
    }
}

#[tokio::test]
async fn a_role_needs_rights_by_tags_to_make_and_delete_and_one_to_tag_what_it_makes() {
    let cloud = Cloud::start();
    let network = cloud.network().await;
    let stack = |value: &str| Tag::builder().key("mayfly:stack").value(value).build();
    let create = async |role: &str, stack_tag: &str, name: &str| {
        let create = cloud.as_role(role).create_load_balancer().r#type(LoadBalancerTypeEnum::Network);
        let create = create.name(name).set_subnets(Some(network.subnets.to_vec())).tags(stack(stack_tag));
        create.send().await
    };
    for (role, tag, name) in [
        ("Owner", "t", "web"),
        ("Owner", "s", "other"),
        ("NoTagger", "s", "web"),
        ("WrongTagger", "s", "web"),
    ] {
        assert_eq!(code(create(role, tag, name).await), "AccessDenied", "{role} {tag} {name}");
    }
    let made = create("Owner", "s", "web").await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let owner = cloud.as_role("Owner");
    let group = owner.create_target_group().name("web").target_type("ip".into()).protocol(ProtocolEnum::Tcp);
    let group = group.port(80).vpc_id(&network.vpc).tags(stack("s")).send().await.unwrap();
    let group = group.target_groups()[0].target_group_arn().unwrap();
    let listen = async |role: &str| {
        let create = cloud.as_role(role).create_listener().load_balancer_arn(arn).tags(stack("s"));
        let create = create.protocol(ProtocolEnum::Tcp).port(80).default_actions(forward(group));
        code(create.send().await)
    };
    assert_eq!(listen("NoTagger").await, "AccessDenied");
    assert_eq!(listen("Owner").await, "OK");
    let describe = code(owner.describe_load_balancers().send().await);
    assert_eq!(describe, "AccessDenied", "nobody has allowed that");
    // What carries no tag of the stack.
    let foreign = cloud.load_balancer(&network).name("web-2").send().await.unwrap();
    let foreign = foreign.load_balancers()[0].load_balancer_arn().unwrap();
    let delete = async |arn: &str| code(owner.delete_load_balancer().load_balancer_arn(arn).send().await);
    assert_eq!(delete(foreign).await, "AccessDenied");
    assert_eq!(delete(arn).await, "OK");
}
