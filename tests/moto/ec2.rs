//! What is said about EC2.

mod deleting; // a private network is taken down
mod egress; // private networks without a NAT gateway
mod lax; // what moto lets pass
mod making; // a private network is made

use serde_json::Map;

use crate::conversation::Step;

/// The networks of jobs, from the first call to the last.
pub fn private_network() -> Vec<Step> {
    [making::all(), deleting::all(), egress::all(), lax::all()].concat()
}

/// The network, which is there from the beginning.
pub fn network() -> Vec<Step> {
    vec![
        row("DescribeVpcs", "all", "")
            .keep("vpc", "/vpcSet/0/vpcId")
            .keep("cidr", "/vpcSet/0/cidrBlock")
            .same(&["/vpcSet/0/vpcId", "/vpcSet/0/state", "/vpcSet/0/cidrBlock", "/vpcSet/0/isDefault"]),
        row("DescribeVpcs", "by its id", "VpcId.1=${vpc}"),
        row("DescribeVpcs", "an id that nothing has", "VpcId.1=vpc-00000000000000001"),
        row("DescribeVpcs", "an id that is none", "VpcId.1=my-vpc"),
        row("DescribeVpcs", "one id of two", "VpcId.1=${vpc} VpcId.2=vpc-00000000000000001"),
        row("DescribeVpcs", "a filter that fits", filter("cidr", "${cidr}")),
        row("DescribeVpcs", "a filter with a wildcard", filter("vpc-id", "vpc-*")),
        row("DescribeVpcs", "a filter with a wildcard for one character", filter("state", "availabl?")),
        row("DescribeVpcs", "a filter by a tag that nothing has", filter("tag:mayfly:job", "a")),
        row("DescribeVpcs", "a filter by a tag's key that nothing has", filter("tag-key", "mayfly:job")),
        row("DescribeVpcs", "a filter that does not exist", filter("colour", "red")),
        row("DescribeVpcs", "a dry run", "DryRun=true"),
        row("DescribeVpcs", "a page too small", "MaxResults=4"),
        row("DescribeSubnets", "of the VPC", filter("vpc-id", "${vpc}")),
        row("DescribeSubnets", "of a zone", filter("availability-zone", "eu-west-1a"))
            .keep("subnet", "/subnetSet/0/subnetId"),
        row("DescribeSubnets", "by its id", "SubnetId.1=${subnet}").same(&[
            "/subnetSet/0/subnetId",
            "/subnetSet/0/state",
            "/subnetSet/0/cidrBlock",
        ]),
        row("DescribeSubnets", "an id that nothing has", "SubnetId.1=subnet-00000000000000001"),
        row("DescribeSubnets", "an id that is none", "SubnetId.1=my-subnet"),
        row(
            "DescribeSubnets",
            "a filter with two values",
            "Filter.1.Name=availability-zone Filter.1.Value.1=eu-west-1a Filter.1.Value.2=x",
        ),
        row(
            "DescribeSubnets",
            "two filters of which one does not fit",
            filters(&[("vpc-id", "${vpc}"), ("availability-zone", "x")]),
        ),
        row("DescribeSubnets", "a filter with a wildcard", filter("availability-zone", "eu-*")),
        row("DescribeSubnets", "a filter that does not exist", filter("colour", "red")),
        row("DescribeSecurityGroups", "the default group of the VPC", filter("group-name", "default"))
            .keep("group", "/securityGroupInfo/0/groupId"),
        row("DescribeSecurityGroups", "by its id", "GroupId.1=${group}")
            .same(&["/securityGroupInfo/0/groupId", "/securityGroupInfo/0/vpcId"]),
        row("DescribeSecurityGroups", "an id that nothing has", "GroupId.1=sg-00000000000000001"),
        row("DescribeSecurityGroups", "an id that is none", "GroupId.1=my-group"),
        row("DescribeSecurityGroups", "a filter with a wildcard", filter("group-name", "def*")),
        row("DescribeSecurityGroups", "a filter that does not exist", filter("colour", "red")),
        row("DescribeNetworkInterfaces", "none yet", ""),
    ]
}

/// What lets a task in that network pull its image; in the local cloud CloudFormation makes it.
pub fn way_out() -> Vec<Step> {
    let steps = [
        row("CreateInternetGateway", "by CloudFormation", "")
            .keep("gateway", "/internetGateway/internetGatewayId"),
        row("AttachInternetGateway", "by CloudFormation", "InternetGatewayId=${gateway} VpcId=${vpc}"),
        row("DescribeRouteTables", "by CloudFormation", filter("vpc-id", "${vpc}"))
            .keep("table", "/routeTableSet/0/routeTableId"),
        row(
            "CreateRoute",
            "by CloudFormation",
            "RouteTableId=${table} DestinationCidrBlock=0.0.0.0/0 GatewayId=${gateway}",
        ),
    ];
    steps.map(Step::only_moto).into()
}

/// The network interface of the task `${task}`.
pub fn interface() -> Vec<Step> {
    vec![
        row("DescribeNetworkInterfaces", "that of a task", filter("subnet-id", "${subnet}"))
            .keep("interface", "/networkInterfaceSet/0/networkInterfaceId"),
        row("DescribeNetworkInterfaces", "by its id", "NetworkInterfaceId.1=${interface}"),
        row("DescribeNetworkInterfaces", "a filter by its group", filter("group-id", "${group}")),
        row("DescribeNetworkInterfaces", "a filter with a wildcard", filter("network-interface-id", "eni-*")),
        row(
            "DescribeNetworkInterfaces",
            "an id that nothing has",
            "NetworkInterfaceId.1=eni-00000000000000001",
        ),
        row("DescribeNetworkInterfaces", "an id that is none", "NetworkInterfaceId.1=my-interface"),
        row("DescribeNetworkInterfaces", "a filter that does not exist", filter("colour", "red")),
    ]
}

/// A row whose input is the form's fields, `Name=value` with blanks between them.
pub fn row(operation: &'static str, case: &'static str, fields: impl AsRef<str>) -> Step {
    let field = |field: &str| {
        let (name, value) = field.split_once('=').expect("Name=value");
        (name.to_owned(), value.into())
    };
    let fields: Map<_, _> = fields.as_ref().split_whitespace().map(field).collect();
    Step::new("ec2", operation, case, fields.into())
}

/// The fields of one filter with one value.
fn filter(name: &str, value: &str) -> String {
    filters(&[(name, value)])
}

/// The fields of filters with one value each.
fn filters(filters: &[(&str, &str)]) -> String {
    let fields = (1..).zip(filters).map(|(number, (name, value))| {
        format!("Filter.{number}.Name={name} Filter.{number}.Value.1={value} ")
    });
    fields.collect()
}

/// The fields that tag a new resource of the type `kind` as the side's own.
fn tagged(kind: &str) -> String {
    let tag = "TagSpecification.1.Tag.1";
    format!("TagSpecification.1.ResourceType={kind} {tag}.Key=mayfly:job {tag}.Value=job-${{side}}")
}

/// The fields of a filter for what has that tag.
fn by_tag() -> String {
    filter("tag:mayfly:job", "job-${side}")
}
