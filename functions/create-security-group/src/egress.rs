//! The rules for what may go out: which a security group has, and which it shall have.

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range};
use mayfly_model::job::{Egress, Port};

const ANYWHERE: &str = "0.0.0.0/0";
const ANYWHERE_IPV6: &str = "::/0";

/// The rules that a new group begins with, all that it may have: one for IPv6 is there only if the VPC had its addresses of
/// IPv6 by then, and nobody says at which moment that is. Of a network that is joined nobody has said whether it has them.
/// Source: EC2 API Reference, `CreateSecurityGroup`; VPC user guide, "Security group rules"; for the rule of IPv6
/// getmoto/moto#2647 and hashicorp/terraform#15075.
pub(crate) fn of_new_group(made_for_the_job: Option<Egress>) -> Vec<IpPermission> {
    match made_for_the_job {
        Some(Egress::Nat | Egress::Endpoints) => vec![everything()],
        Some(Egress::Ipv6) | None => vec![everything(), everything_ipv6()],
    }
}

fn everything() -> IpPermission {
    IpPermission::builder().ip_protocol("-1").ip_ranges(IpRange::builder().cidr_ip(ANYWHERE).build()).build()
}

fn everything_ipv6() -> IpPermission {
    let anywhere = Ipv6Range::builder().cidr_ipv6(ANYWHERE_IPV6).build();
    IpPermission::builder().ip_protocol("-1").ipv6_ranges(anywhere).build()
}

/// The rules for these TCP ports, and nothing else, by the one version of IP that leads out.
pub(crate) fn wanted(ports: &[u16], egress: Egress) -> Vec<IpPermission> {
    ports.iter().map(|port| allowed(*port, egress)).collect()
}

/// The rules for `ports` of what is in the blocks `cidrs`.
pub(crate) fn towards(ports: &[Port], cidrs: &[String]) -> Vec<IpPermission> {
    let blocks = || cidrs.iter().map(|cidr| IpRange::builder().cidr_ip(cidr).build()).collect();
    let permission = |Port { port, protocol }: &Port| {
        let permission = IpPermission::builder().ip_protocol(protocol.name()).set_ip_ranges(Some(blocks()));
        permission.from_port((*port).into()).to_port((*port).into()).build()
    };
    ports.iter().map(permission).collect()
}

fn allowed(port: u16, egress: Egress) -> IpPermission {
    const WHAT: &str = "A port that the job may call";
    let permission = IpPermission::builder().ip_protocol("tcp").from_port(port.into()).to_port(port.into());
    let permission = match egress {
        Egress::Nat | Egress::Endpoints => {
            permission.ip_ranges(IpRange::builder().cidr_ip(ANYWHERE).description(WHAT).build())
        }
        Egress::Ipv6 => {
            let anywhere = Ipv6Range::builder().cidr_ipv6(ANYWHERE_IPV6).description(WHAT);
            permission.ipv6_ranges(anywhere.build())
        }
    };
    permission.build()
}

/// What is to be revoked, and what is missing. EC2 describes all destinations of a protocol and port range as one
/// permission, so one with a destination more is revoked and then made again.
pub(crate) fn differences(
    given: Vec<IpPermission>,
    wanted: &[IpPermission],
) -> (Vec<IpPermission>, Vec<IpPermission>) {
    let missing = wanted.iter().filter(|one| !given.iter().any(|other| same(one, other))).cloned().collect();
    let unwanted = given.into_iter().filter(|one| !wanted.iter().any(|other| same(one, other))).collect();
    (unwanted, missing)
}

/// Whether two permissions let the same through. A description is no difference.
fn same(one: &IpPermission, other: &IpPermission) -> bool {
    let ports = |permission: &IpPermission| (permission.from_port(), permission.to_port());
    one.ip_protocol() == other.ip_protocol()
        && ports(one) == ports(other)
        && one.ip_ranges().iter().map(IpRange::cidr_ip).eq(other.ip_ranges().iter().map(IpRange::cidr_ip))
        && one
            .ipv6_ranges()
            .iter()
            .map(Ipv6Range::cidr_ipv6)
            .eq(other.ipv6_ranges().iter().map(Ipv6Range::cidr_ipv6))
        && one.prefix_list_ids() == other.prefix_list_ids()
        && one.user_id_group_pairs() == other.user_id_group_pairs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAT: Egress = Egress::Nat;

    /// The ports of permissions, for short.
    fn ports(permissions: &[IpPermission]) -> Vec<Option<i32>> {
        permissions.iter().map(IpPermission::from_port).collect()
    }

    /// As EC2 describes it: with empty lists.
    fn described(mut permission: IpPermission) -> IpPermission {
        permission.ipv6_ranges = Some(vec![]);
        permission.prefix_list_ids = Some(vec![]);
        permission.user_id_group_pairs = Some(vec![]);
        permission
    }

    #[test]
    fn a_new_group_loses_the_rule_for_everything() {
        let (unwanted, missing) = differences(vec![everything()], &wanted(&[443, 5432], NAT));
        assert_eq!(unwanted, [everything()]);
        assert_eq!(ports(&missing), [Some(443), Some(5432)]);
    }

    #[test]
    fn a_finished_group_stays_as_it_is() {
        let given = [443, 5432].map(|port| described(allowed(port, NAT))).into();
        assert_eq!(differences(given, &wanted(&[5432, 443], NAT)), (vec![], vec![]));
    }

    #[test]
    fn a_half_done_group_is_brought_to_what_is_wanted() {
        let given = vec![described(everything()), described(allowed(443, NAT)), described(allowed(22, NAT))];
        let (unwanted, missing) = differences(given, &wanted(&[443, 5432], NAT));
        assert_eq!(ports(&unwanted), [None, Some(22)]);
        assert_eq!(ports(&missing), [Some(5432)]);
    }

    #[test]
    fn a_permission_with_another_destination_is_made_again() {
        let everywhere = Ipv6Range::builder().cidr_ipv6("::/0").build();
        let mut wider = allowed(443, NAT);
        wider.ipv6_ranges = Some(vec![everywhere]);
        let (unwanted, missing) = differences(vec![wider.clone()], &wanted(&[443], NAT));
        assert_eq!(unwanted, [wider]);
        assert_eq!(ports(&missing), [Some(443)]);
    }

    #[test]
    fn a_group_of_ipv6_alone_lets_nothing_out_by_ipv4() {
        let mut begins = of_new_group(Some(Egress::Ipv6));
        let (unwanted, missing) = differences(begins.clone(), &wanted(&[443], Egress::Ipv6));
        assert_eq!(unwanted, begins);
        let [allowed] = &missing[..] else { panic!("{missing:?}") };
        assert_eq!(allowed.ipv6_ranges()[0].cidr_ipv6(), Some("::/0"));
        assert!(allowed.ip_ranges().is_empty());
        // As a retry finds it.
        begins.push(allowed.clone());
        let (unwanted, missing) = differences(begins, &wanted(&[443], Egress::Ipv6));
        assert_eq!((unwanted.len(), missing), (2, vec![]));
    }

    #[test]
    fn a_new_group_in_a_network_that_is_joined_may_let_everything_out_by_ipv6_too() {
        let (unwanted, _) = differences(of_new_group(None), &[]);
        assert_eq!(unwanted, [everything(), everything_ipv6()]);
        assert_eq!(of_new_group(Some(NAT)), [everything()], "a VPC of the job's own has no IPv6 then");
    }
}
