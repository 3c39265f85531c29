//! The stand-in on its real wire: the AWS SDK is the client, and a few canned answers are MiniStack's EC2.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{Filter, NetworkInterfaceStatus};
use axum::Router;
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::TimeScale;
use local_aws::upstream::{Sessions, Upstream};
use local_ec2::{Ec2, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SUBNET: &str = "subnet-1";
const GROUP: &str = "sg-1";

/// A running stand-in, and a client of it for the root.
struct Cloud {
    ec2: Ec2,
    upstream: Upstream,
    client: Client,
    calls: CallLog,
    stop: CancellationToken,
}

impl Cloud {
    async fn start() -> Self {
        let ministack = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin =
            |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = Upstream {
            ministack: origin(&ministack),
            ec2: origin(&listener),
            ecs: String::new(),
            states: String::new(),
            region: "eu-west-1".into(),
            account: "111122223333".into(),
            root: Credentials::from_keys("AKIAROOT", "secret", None),
            sessions: Sessions::default(),
        };
        tokio::spawn(async { axum::serve(ministack, Router::new().fallback(canned)).await });

        let (calls, stop) = (CallLog::default(), CancellationToken::new());
        let ec2 = Ec2::new(upstream.clone(), TimeScale::new(0.001));
        tokio::spawn(serve(listener, ec2.clone(), Guard::new(upstream.clone()), calls.clone(), stop.clone()));
        let client = client(&upstream, upstream.root.clone());
        Self { ec2, upstream, client, calls, stop }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn client(upstream: &Upstream, credentials: Credentials) -> Client {
    let config = upstream.root_config().into_builder().endpoint_url(&upstream.ec2);
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    Client::new(&config.credentials_provider(provider).build())
}

/// MiniStack's answers about the stack's network: one VPC, two subnets with eleven addresses each, three groups of
/// which one is in another VPC.
async fn canned(body: String) -> String {
    let action = body.split('&').find_map(|field| field.strip_prefix("Action=")).unwrap_or_default();
    let owner = "<ownerId>111122223333</ownerId>";
    let items = match action {
        "DescribeVpcs" => format!(
            "<vpcSet><item><vpcId>vpc-1</vpcId>{owner}<state>available</state><cidrBlock>10.0.0.0/24</cidrBlock>
             <instanceTenancy>default</instanceTenancy><isDefault>false</isDefault><tagSet/></item></vpcSet>"
        ),
        "DescribeSubnets" => {
            let subnet = |id: &str, cidr: &str| {
                format!(
                    "<item><subnetId>{id}</subnetId><subnetArn>arn:{id}</subnetArn>{owner}<vpcId>vpc-1</vpcId>
                     <state>available</state><cidrBlock>{cidr}</cidrBlock><defaultForAz>false</defaultForAz>
                     <availabilityZone>eu-west-1a</availabilityZone><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch>
                     <tagSet><item><key>Name</key><value>{id}</value></item></tagSet></item>"
                )
            };
            format!("<subnetSet>{}{}</subnetSet>", subnet(SUBNET, "10.0.0.0/28"), subnet("subnet-2", "10.0.0.16/28"))
        }
        _ => {
            let group = |id: &str, name: &str, vpc: &str| {
                format!(
                    "<item>{owner}<groupId>{id}</groupId><groupName>{name}</groupName><vpcId>{vpc}</vpcId>
                     <groupDescription>a group</groupDescription><ipPermissions/><ipPermissionsEgress><item>
                     <ipProtocol>tcp</ipProtocol><fromPort>443</fromPort><toPort>443</toPort><groups/><ipRanges><item>
                     <cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item></ipPermissionsEgress></item>"
                )
            };
            let groups = [group(GROUP, "task", "vpc-1"), group("sg-d", "default", "vpc-1"), group("sg-x", "x", "vpc-2")];
            format!("<securityGroupInfo>{}</securityGroupInfo>", groups.concat())
        }
    };
    format!("<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">{items}</{action}Response>")
}

/// The code and the HTTP status of an error that EC2 answered.
fn refusal<E: ProvideErrorMetadata + std::fmt::Debug>(
    error: &SdkError<E, aws_sdk_ec2::config::http::HttpResponse>,
) -> (String, u16, String) {
    let status = error.raw_response().expect("an answer").status().as_u16();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.code()), status, text(error.message()))
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

async fn interface(cloud: &Cloud, job: &str) -> local_ec2::TaskInterface {
    let tags = BTreeMap::from([("mayfly:job".to_owned(), job.to_owned())]);
    cloud
        .ec2
        .create_task_interface(SUBNET, &[GROUP.into()], true, &tags, "an attachment")
        .await
        .expect("an interface")
}

#[tokio::test]
async fn a_tasks_interface_is_described_until_it_is_deleted() {
    let cloud = Cloud::start().await;
    let made = interface(&cloud, "a").await;
    let describe = || cloud.client.describe_network_interfaces().network_interface_ids(&made.id);

    let answer = describe().send().await.expect("the interface");
    let [seen] = answer.network_interfaces() else { panic!("one interface, not {answer:?}") };
    assert_eq!(seen.network_interface_id(), Some(made.id.as_str()));
    assert_eq!(seen.private_ip_address(), Some(made.private_ip.as_str()));
    assert_eq!(seen.association().and_then(|association| association.public_ip()), made.public_ip.as_deref());
    assert_eq!((seen.subnet_id(), seen.vpc_id()), (Some(SUBNET), Some("vpc-1")));
    assert_eq!(
        (seen.mac_address(), seen.status()),
        (Some(made.mac.as_str()), Some(&NetworkInterfaceStatus::InUse))
    );
    assert_eq!((seen.requester_managed(), seen.description()), (Some(true), Some("an attachment")));
    assert_eq!(seen.groups()[0].group_id(), Some(GROUP));
    assert_eq!(seen.tag_set()[0].value(), Some("a"));
    assert!(seen.attachment().and_then(|attachment| attachment.attach_time()).is_some());

    cloud.ec2.delete_task_interface(&made.id).await;
    let (code, status, message) = refusal(&describe().send().await.expect_err("it is gone"));
    assert_eq!((code.as_str(), status), ("InvalidNetworkInterfaceID.NotFound", 400));
    assert!(message.contains(&made.id));
}

#[tokio::test]
async fn interfaces_are_found_by_filters_and_come_in_pages() {
    let cloud = Cloud::start().await;
    for job in ["a", "a", "a", "a", "a", "a", "b"] {
        interface(&cloud, job).await;
    }
    let describe = || cloud.client.describe_network_interfaces();
    let of_a = describe().filters(filter("tag:mayfly:job", "a")).filters(filter("vpc-id", "vpc-1"));
    let pages: Vec<_> = of_a.into_paginator().page_size(5).send().try_collect().await.expect("pages");
    assert_eq!(pages.iter().map(|page| page.network_interfaces().len()).collect::<Vec<_>>(), [5, 1]);

    let none = describe().filters(filter("group-id", "sg-d")).send().await.expect("an answer");
    assert!(none.network_interfaces().is_empty());
    let (code, _, message) =
        refusal(&describe().filters(filter("colour", "red")).send().await.expect_err("unknown"));
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidParameterValue", "The filter 'colour' is invalid")
    );
    let both = describe().network_interface_ids("eni-1").max_results(5).send().await.expect_err("both");
    assert_eq!(refusal(&both).0, "InvalidParameterCombination");
}

#[tokio::test]
async fn the_stacks_own_network_is_that_of_ministack() {
    let cloud = Cloud::start().await;
    interface(&cloud, "a").await;
    let vpcs = cloud.client.describe_vpcs().vpc_ids("vpc-1").send().await.expect("the VPC");
    assert_eq!(vpcs.vpcs()[0].cidr_block(), Some("10.0.0.0/24"));
    let subnets =
        cloud.client.describe_subnets().filters(filter("tag:Name", "subnet-?")).send().await.expect("both");
    let free = |index: usize| subnets.subnets()[index].available_ip_address_count();
    assert_eq!((free(0), free(1)), (Some(10), Some(11)));
    let groups = cloud.client.describe_security_groups().group_ids(GROUP).send().await.expect("the group");
    let rule = &groups.security_groups()[0].ip_permissions_egress()[0];
    assert_eq!((rule.from_port(), rule.ip_ranges()[0].cidr_ip()), (Some(443), Some("0.0.0.0/0")));
    let (code, ..) =
        refusal(&cloud.client.describe_subnets().subnet_ids("subnet-9").send().await.expect_err("none"));
    assert_eq!(code, "InvalidSubnetID.NotFound");
}

#[tokio::test]
async fn a_task_needs_a_subnet_with_room_and_groups_of_its_vpc() {
    let cloud = Cloud::start().await;
    let create = |subnet: &'static str, groups: &'static [&str]| {
        let ec2 = cloud.ec2.clone();
        async move {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            ec2.create_task_interface(subnet, &groups, false, &BTreeMap::new(), "").await
        }
    };
    for (subnet, groups, code) in [
        ("subnet-9", &[GROUP][..], "InvalidSubnetID.NotFound"),
        (SUBNET, &["sg-9"], "InvalidGroup.NotFound"),
        (SUBNET, &["sg-x"], "InvalidParameter"),
    ] {
        assert_eq!(create(subnet, groups).await.expect_err(code).code, code);
    }
    let mut addresses = Vec::new();
    for _ in 0..11 {
        let interface = create(SUBNET, &[]).await.expect("room");
        assert_eq!(interface.public_ip, None);
        addresses.push(interface.private_ip);
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 11);
    assert_eq!(create(SUBNET, &[]).await.expect_err("full").code, "InsufficientFreeAddressesInSubnet");
    assert!(create("subnet-2", &[]).await.is_ok());
    // Without groups it is the VPC's default one.
    let default = cloud.client.describe_network_interfaces().filters(filter("group-id", "sg-d")).send().await;
    assert_eq!(default.expect("an answer").network_interfaces().len(), 12);
}

#[tokio::test]
async fn what_is_not_signed_or_not_implemented_is_refused_and_recorded() {
    let cloud = Cloud::start().await;
    for key in ["AKIAROOT", "AKIAOTHER"] {
        let stranger = client(&cloud.upstream, Credentials::from_keys(key, "guessed", None));
        let (code, status, _) = refusal(&stranger.describe_vpcs().send().await.expect_err("refused"));
        assert_eq!((code.as_str(), status), ("AuthFailure", 401), "{key}");
    }
    let (code, status, message) =
        refusal(&cloud.client.describe_regions().send().await.expect_err("unknown"));
    assert_eq!((code.as_str(), status), ("InvalidAction", 400));
    assert!(message.contains("DescribeRegions"));
    let managed = cloud.client.describe_network_interfaces().include_managed_resources(true).send().await;
    let (code, _, message) = refusal(&managed.expect_err("unknown"));
    assert_eq!(code, "UnknownParameter");
    assert!(message.contains("IncludeManagedResources"));
    let (code, status, _) =
        refusal(&cloud.client.describe_vpcs().dry_run(true).send().await.expect_err("dry"));
    assert_eq!((code.as_str(), status), ("DryRunOperation", 412));

    let calls: Vec<_> = cloud.calls.snapshot().into_iter().map(|call| (call.action, call.outcome)).collect();
    let expected = [
        ("ec2:DescribeVpcs", "AuthFailure"),
        ("ec2:DescribeVpcs", "AuthFailure"),
        ("ec2:DescribeRegions", "InvalidAction"),
        ("ec2:DescribeNetworkInterfaces", "UnknownParameter"),
        ("ec2:DescribeVpcs", "DryRunOperation"),
    ];
    assert_eq!(calls, expected.map(|(action, outcome)| (action.to_owned(), outcome.to_owned())));
}
