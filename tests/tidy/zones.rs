//! The stack's subnets can be moved to other zones.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::project::template;

/// CloudFormation makes a subnet in its new zone before it deletes the one in the old.
/// Source: CloudFormation Template Reference, `AWS::EC2::Subnet`: a change of `AvailabilityZone` is a replacement.
#[test]
fn a_change_of_zones_meets_no_address_that_is_in_use() {
    let template = template();
    let vpc: Ipv4Net = template["Resources"]["Vpc"]["Properties"]["CidrBlock"]
        .as_str()
        .and_then(|range| range.parse().ok())
        .expect("template.yaml: the range of Vpc");
    let zones = template["Mappings"]["Zones"].as_object().expect("template.yaml: the mapping Zones");
    let mut ranges = Vec::<(String, Ipv4Net)>::new();
    for (zone, sides) in zones {
        for (side, range) in sides.as_object().expect("a mapping has two levels") {
            let place = format!("template.yaml: {side} of {zone} in Zones");
            let range: Ipv4Net = range.as_str().and_then(|range| range.parse().ok()).expect(&place);
            assert!(vpc.contains(&range), "{place} is outside of {vpc}");
            let other = ranges.iter().find(|(_, other)| other.contains(&range) || range.contains(other));
            assert!(other.is_none(), "{place} overlaps with {other:?}");
            ranges.push((place, range));
        }
    }
    let known: BTreeSet<_> = zones.keys().map(String::as_str).collect();
    for parameter in ["FirstZone", "SecondZone"] {
        let allowed = template["Parameters"][parameter]["AllowedValues"].as_array().into_iter().flatten();
        let allowed: BTreeSet<_> = allowed.filter_map(Value::as_str).collect();
        assert_eq!(allowed, known, "template.yaml: the AllowedValues of {parameter} are the mapping's zones");
    }
}
