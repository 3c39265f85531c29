//! The rules for what may go out: which a security group has, and which it shall have.

use aws_sdk_ec2::types::{IpPermission, IpRange};

const ANYWHERE: &str = "0.0.0.0/0";

/// The rule that every new group begins with.
/// Source: EC2 API Reference, `CreateSecurityGroup`.
pub(crate) fn everything() -> IpPermission {
    IpPermission::builder().ip_protocol("-1").ip_ranges(IpRange::builder().cidr_ip(ANYWHERE).build()).build()
}

/// The rules for these TCP ports, and nothing else.
pub(crate) fn wanted(ports: &[u16]) -> Vec<IpPermission> {
    ports.iter().map(|port| allowed(*port)).collect()
}

fn allowed(port: u16) -> IpPermission {
    let anywhere = IpRange::builder().cidr_ip(ANYWHERE).description("A port that the job may call").build();
    IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(port.into())
        .to_port(port.into())
        .ip_ranges(anywhere)
        .build()
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
        && one.ipv6_ranges() == other.ipv6_ranges()
        && one.prefix_list_ids() == other.prefix_list_ids()
        && one.user_id_group_pairs() == other.user_id_group_pairs()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::Ipv6Range;

    use super::*;

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
        let (unwanted, missing) = differences(vec![everything()], &wanted(&[443, 5432]));
        assert_eq!(unwanted, [everything()]);
        assert_eq!(ports(&missing), [Some(443), Some(5432)]);
    }

    #[test]
    fn a_finished_group_stays_as_it_is() {
        let given = [443, 5432].map(|port| described(allowed(port))).into();
        assert_eq!(differences(given, &wanted(&[5432, 443])), (vec![], vec![]));
    }

    #[test]
    fn a_half_done_group_is_brought_to_what_is_wanted() {
        let given = vec![described(everything()), described(allowed(443)), described(allowed(22))];
        let (unwanted, missing) = differences(given, &wanted(&[443, 5432]));
        assert_eq!(ports(&unwanted), [None, Some(22)]);
        assert_eq!(ports(&missing), [Some(5432)]);
    }

    #[test]
    fn a_permission_with_another_destination_is_made_again() {
        let everywhere = Ipv6Range::builder().cidr_ipv6("::/0").build();
        let mut wider = allowed(443);
        wider.ipv6_ranges = Some(vec![everywhere]);
        let (unwanted, missing) = differences(vec![wider.clone()], &wanted(&[443]));
        assert_eq!(unwanted, [wider]);
        assert_eq!(ports(&missing), [Some(443)]);
    }
}
