//! Listeners: what they can send to, and what TLS needs.

use aws_sdk_elasticloadbalancingv2::types::ProtocolEnum;
use local_elb::Quotas;

use crate::cloud::{Cloud, FAST, ISSUED, PENDING, certificate, certificate_arn, code, forward};

#[tokio::test]
async fn a_listener_and_its_target_group_have_protocols_that_fit_and_tls_has_a_certificate() {
    let cloud = Cloud::start_with(FAST, Quotas { listeners: 2, ..Quotas::default() });
    let network = cloud.network().await;
    let made = cloud.load_balancer(&network).send().await.unwrap();
    let arn = made.load_balancers()[0].load_balancer_arn().unwrap();
    let group = async |name: &str, protocol| {
        let made = cloud.target_group(&network).name(name).protocol(protocol).send().await.unwrap();
        made.target_groups()[0].target_group_arn().unwrap().to_owned()
    };
    let tcp = group("tcp", ProtocolEnum::Tcp).await;
    let both = group("both", ProtocolEnum::TcpUdp).await;
    let encrypted = group("encrypted", ProtocolEnum::Tls).await;
    let create = |port, protocol, group: &str| {
        let create = cloud.client.create_listener().load_balancer_arn(arn).port(port).protocol(protocol);
        create.default_actions(forward(group))
    };
    let ours = || certificate(certificate_arn(ISSUED));
    let tls = || create(443, ProtocolEnum::Tls, &tcp);
    for (what, call, expected) in [
        ("both to one", create(80, ProtocolEnum::TcpUdp, &tcp), "IncompatibleProtocols"),
        ("no group", create(80, ProtocolEnum::Tcp, &tcp.replace("tcp", "no")), "TargetGroupNotFound"),
        ("no certificate", tls(), "ValidationError"),
        ("two", tls().certificates(ours()).certificates(ours()), "ValidationError"),
        (
            "a foreign one",
            tls().certificates(certificate("arn:aws:acm:us-east-1:1:certificate/issued")),
            "CertificateNotFound",
        ),
        ("one that is gone", tls().certificates(certificate(certificate_arn("gone"))), "CertificateNotFound"),
        (
            "one that is not issued",
            tls().certificates(certificate(certificate_arn(PENDING))),
            "UnsupportedCertificate",
        ),
        (
            "targets of TLS",
            create(443, ProtocolEnum::Tls, &encrypted).certificates(ours()),
            "ValidationError",
        ),
        ("a policy that is none", tls().certificates(ours()).ssl_policy("mine"), "SSLPolicyNotFound"),
        (
            "a certificate for tcp",
            create(80, ProtocolEnum::Tcp, &tcp).certificates(ours()),
            "InvalidConfigurationRequest",
        ),
    ] {
        assert_eq!(code(call.send().await), expected, "{what}");
    }
    assert!(!cloud.elb.has_load_balancer(&tcp));
    let made = tls().certificates(ours()).send().await.unwrap();
    let [made] = made.listeners() else { panic!("one") };
    assert_eq!(made.ssl_policy(), Some("ELBSecurityPolicy-2016-08"));
    assert!(cloud.elb.has_load_balancer(&tcp));
    let again = tls().certificates(ours()).send().await.unwrap();
    assert_eq!(again.listeners()[0].listener_arn(), made.listener_arn());
    assert_eq!(code(create(443, ProtocolEnum::Tcp, &tcp).send().await), "DuplicateListener");
    assert_eq!(code(create(53, ProtocolEnum::TcpUdp, &both).send().await), "OK");
    assert_eq!(code(create(54, ProtocolEnum::TcpUdp, &both).send().await), "TooManyListeners");
    let other = cloud.load_balancer(&network).name("other").send().await.unwrap();
    let other = other.load_balancers()[0].load_balancer_arn().unwrap();
    let elsewhere = create(80, ProtocolEnum::Tcp, &tcp).load_balancer_arn(other);
    assert_eq!(code(elsewhere.send().await), "TargetGroupAssociationLimit");
}
