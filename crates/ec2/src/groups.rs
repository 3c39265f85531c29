//! In which order security groups can be deleted.

use aws_sdk_ec2::types::SecurityGroup;

use crate::find::Described;

/// The groups, each before those that its rules name: EC2 keeps a group that another refers to. Groups that name each other
/// come last.
/// Source: EC2 API Reference, `DeleteSecurityGroup`.
pub fn in_order_of_deletion<'a>(
    groups: impl IntoIterator<Item = &'a SecurityGroup>,
) -> Vec<&'a SecurityGroup> {
    let mut left: Vec<&SecurityGroup> = groups.into_iter().collect();
    let mut ordered = Vec::with_capacity(left.len());
    let is_free = |left: &[&SecurityGroup], group: &SecurityGroup| {
        !left.iter().any(|other| other.id() != group.id() && names(other, group.id()))
    };
    while let Some(next) = left.iter().position(|group| is_free(&left, group)) {
        ordered.push(left.remove(next));
    }
    ordered.extend(left);
    ordered
}

/// Whether a rule of the group names the one with this id.
fn names(group: &SecurityGroup, id: &str) -> bool {
    let rules = group.ip_permissions().iter().chain(group.ip_permissions_egress());
    rules.flat_map(|rule| rule.user_id_group_pairs()).any(|pair| pair.group_id() == Some(id))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{IpPermission, UserIdGroupPair};

    use super::*;

    fn group(id: &str, named: &[&str]) -> SecurityGroup {
        let pairs = named.iter().map(|id| UserIdGroupPair::builder().group_id(*id).build());
        let rule = IpPermission::builder().set_user_id_group_pairs(Some(pairs.collect())).build();
        SecurityGroup::builder().group_id(id).ip_permissions(rule).build()
    }

    fn ordered(groups: &[SecurityGroup]) -> Vec<&str> {
        in_order_of_deletion(groups).into_iter().map(Described::id).collect()
    }

    #[test]
    fn a_group_goes_before_those_that_it_names() {
        let groups =
            [group("balancer", &[]), group("task", &["task", "balancer"]), group("endpoints", &["task"])];
        assert_eq!(ordered(&groups), ["endpoints", "task", "balancer"]);
    }

    #[test]
    fn groups_that_name_each_other_are_tried_all_the_same() {
        let groups = [group("one", &["other"]), group("other", &["one"]), group("third", &["one"])];
        assert_eq!(ordered(&groups), ["third", "one", "other"]);
    }
}
