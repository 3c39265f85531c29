//! Target groups: their health checks, and what a second call answers.

use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetGroupAttribute, TargetTypeEnum};
use local_elb::Quotas;

use crate::cloud::{Cloud, STANDSTILL, code};

#[tokio::test]
async fn a_second_call_answers_the_same_group_and_one_with_other_settings_is_refused() {
    let cloud = Cloud::start_with(STANDSTILL, Quotas { target_groups: 1, ..Quotas::default() });
    let network = cloud.network().await;
    let create = || cloud.target_group(&network);
    let made = create().send().await.unwrap();
    let [made] = made.target_groups() else { panic!("one") };
    assert_eq!((made.health_check_protocol(), made.matcher()), (Some(&ProtocolEnum::Tcp), None));
    assert_eq!(made.health_check_port(), Some("traffic-port"));
    let again = create().send().await.unwrap();
    assert_eq!(again.target_groups()[0].target_group_arn(), made.target_group_arn());
    assert_eq!(code(create().port(81).send().await), "DuplicateTargetGroupName");
    assert_eq!(code(create().name("other").send().await), "TooManyTargetGroups");
    let describe = cloud.client.describe_target_groups().names("web-80").names("other");
    assert_eq!(code(describe.send().await), "TargetGroupNotFound");
    let describe = cloud.client.describe_target_groups().names("web-80");
    let describe = describe.set_target_group_arns(Some(vec![made.target_group_arn().unwrap().to_owned()]));
    assert_eq!(code(describe.send().await), "ValidationError", "by name or by ARN");
}

#[tokio::test]
async fn a_health_check_is_tcp_or_http_within_documented_bounds() {
    let cloud = Cloud::start();
    let network = cloud.network().await;
    let create = || cloud.target_group(&network).name("x");
    let udp = || create().protocol(ProtocolEnum::Udp);
    let http = || create().health_check_protocol(ProtocolEnum::Http);
    for (what, call, expected) in [
        ("udp checked by udp", udp().health_check_protocol(ProtocolEnum::Udp), "ValidationError"),
        ("a path of tcp", create().health_check_path("/"), "InvalidConfigurationRequest"),
        ("a path that is none", http().health_check_path("up"), "ValidationError"),
        ("an interval", create().health_check_interval_seconds(4), "ValidationError"),
        ("a time-out", create().health_check_timeout_seconds(31), "ValidationError"),
        ("a threshold", create().healthy_threshold_count(1), "ValidationError"),
        ("a port", create().health_check_port("0"), "ValidationError"),
        ("a VPC", create().vpc_id("vpc-00000000000000000"), "ValidationError"),
        ("instances", create().target_type(TargetTypeEnum::Instance), "ValidationError"),
    ] {
        assert_eq!(code(call.send().await), expected, "{what}");
    }
    let made = udp().health_check_port("8080").send().await.unwrap();
    assert_eq!(made.target_groups()[0].health_check_port(), Some("8080"));
    let made = http().name("y").health_check_path("/up").send().await.unwrap();
    assert_eq!(made.target_groups()[0].matcher().unwrap().http_code(), Some("200-399"));
}

#[tokio::test]
async fn the_deregistration_delay_is_changed_by_a_call_of_its_own() {
    let cloud = Cloud::start_with(STANDSTILL, Quotas::default());
    let network = cloud.network().await;
    let made = cloud.target_group(&network).send().await.unwrap();
    let arn = made.target_groups()[0].target_group_arn().unwrap();
    let modify = async |key: &str, value: &str| {
        let attribute = TargetGroupAttribute::builder().key(key).value(value).build();
        let modify = cloud.client.modify_target_group_attributes().target_group_arn(arn);
        code(modify.attributes(attribute).send().await)
    };
    assert_eq!(modify("deregistration_delay.timeout_seconds", "0").await, "OK");
    assert_eq!(modify("deregistration_delay.timeout_seconds", "3601").await, "ValidationError");
    assert_eq!(modify("delay", "0").await, "ValidationError");
}
