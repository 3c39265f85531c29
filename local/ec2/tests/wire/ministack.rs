//! What the stand-in needs of MiniStack: the stacks' network, and roles. MiniStack itself has its turn in the end-to-end
//! tests.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::server::Service;
use serde_json::{Value, json};

use crate::cloud::{ACCOUNT, REGION, ZONE};

/// A subnet of the stack's VPC `vpc-1`, with eleven addresses; there is a second one.
pub const SUBNET: &str = "subnet-1";
/// A group in the same VPC.
pub const GROUP: &str = "sg-1";
/// Its internet gateway.
pub const GATEWAY: &str = "igw-1";

/// The network: one VPC, two subnets, an attached gateway to which the first one's routes lead, and three groups of which one is in another VPC.
#[derive(Clone, Debug)]
pub struct MiniStack;

#[async_trait]
impl Service for MiniStack {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        Response::new(answer(request.body()).into())
    }
}

fn answer(body: &[u8]) -> String {
    let fields: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let action = fields["Action"].as_str();
    let owner = format!("<ownerId>{ACCOUNT}</ownerId>");
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
                     <availabilityZone>{ZONE}</availabilityZone><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch>
                     <tagSet><item><key>Name</key><value>{id}</value></item></tagSet></item>"
                )
            };
            let [first, second] = [subnet(SUBNET, "10.0.0.0/28"), subnet("subnet-2", "10.0.0.16/28")];
            format!("<subnetSet>{first}{second}</subnetSet>")
        }
        "DescribeInternetGateways" => format!(
            "<internetGatewaySet><item><internetGatewayId>{GATEWAY}</internetGatewayId>{owner}<attachmentSet><item>
             <vpcId>vpc-1</vpcId><state>available</state></item></attachmentSet><tagSet/></item></internetGatewaySet>"
        ),
        "DescribeRouteTables" => {
            let route = |destination: &str, gateway: &str, origin: &str| {
                format!(
                    "<item><destinationCidrBlock>{destination}</destinationCidrBlock><gatewayId>{gateway}</gatewayId>
                     <state>active</state><origin>{origin}</origin></item>"
                )
            };
            let table = |id: &str, routes: &str, association: &str| {
                format!(
                    "<item><routeTableId>{id}</routeTableId><vpcId>vpc-1</vpcId>{owner}<routeSet>{routes}</routeSet>
                     <associationSet><item><routeTableAssociationId>{id}-assoc</routeTableAssociationId>
                     <routeTableId>{id}</routeTableId>{association}</item></associationSet><tagSet/></item>"
                )
            };
            let local = route("10.0.0.0/24", "local", "CreateRouteTable");
            let out = route("0.0.0.0/0", GATEWAY, "CreateRoute");
            let subnet = format!("<subnetId>{SUBNET}</subnetId><main>false</main>");
            let [main, public] =
                [table("rtb-main", &local, "<main>true</main>"), table("rtb-1", &format!("{local}{out}"), &subnet)];
            format!("<routeTableSet>{main}{public}</routeTableSet>")
        }
        "DescribeSecurityGroups" => {
            let group = |id: &str, name: &str, vpc: &str| {
                format!(
                    "<item>{owner}<groupId>{id}</groupId><groupName>{name}</groupName><vpcId>{vpc}</vpcId>
                     <groupDescription>a group</groupDescription><ipPermissions/><ipPermissionsEgress><item>
                     <ipProtocol>tcp</ipProtocol><fromPort>443</fromPort><toPort>443</toPort><groups/><ipRanges><item>
                     <cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item></ipPermissionsEgress></item>"
                )
            };
            let groups =
                [group(GROUP, "task", "vpc-1"), group("sg-d", "default", "vpc-1"), group("sg-x", "x", "vpc-2")];
            format!("<securityGroupInfo>{}</securityGroupInfo>", groups.concat())
        }
        _ if action.starts_with("Describe") => String::new(),
        _ => return identity(action, &fields),
    };
    format!("<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">{items}</{action}Response>")
}

/// STS and IAM: every role can be assumed.
fn identity(action: &str, fields: &HashMap<String, String>) -> String {
    let result = match action {
        "AssumeRole" => {
            let role = fields["RoleArn"].rsplit('/').next().unwrap_or_default();
            format!(
                "<Credentials><AccessKeyId>ASIA{role}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
                 <SessionToken>token</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>
                 <AssumedRoleUser><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test</Arn>
                 <AssumedRoleId>A:test</AssumedRoleId></AssumedRoleUser>"
            )
        }
        "GetRole" => {
            let role = &fields["RoleName"];
            format!(
                "<Role><Path>/</Path><RoleName>{role}</RoleName><RoleId>A</RoleId>
                 <Arn>arn:aws:iam::{ACCOUNT}:role/{role}</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>"
            )
        }
        "ListRolePolicies" => "<PolicyNames><member>own</member></PolicyNames>".to_owned(),
        "GetRolePolicy" => {
            let document = json!({ "Version": "2012-10-17", "Statement": statements(&fields["RoleName"]) });
            let document: String =
                url::form_urlencoded::byte_serialize(document.to_string().as_bytes()).collect();
            format!(
                "<RoleName>{}</RoleName><PolicyName>own</PolicyName><PolicyDocument>{document}</PolicyDocument>",
                fields["RoleName"]
            )
        }
        "ListAttachedRolePolicies" => "<AttachedPolicies/>".to_owned(),
        other => panic!("MiniStack was asked for {other}"),
    };
    format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
}

/// What a role may do.
fn statements(role: &str) -> Value {
    let arn = |kind: &str| format!("arn:aws:ec2:{REGION}:{ACCOUNT}:{kind}/*");
    let of_stack = |key: &str| json!({ "StringEquals": { format!("{key}/mayfly:stack"): "s" } });
    let create = json!({
        "Effect": "Allow",
        "Action": ["ec2:CreateVpc", "ec2:CreateSubnet", "ec2:AuthorizeSecurityGroupEgress"],
        "Resource": [arn("vpc"), arn("subnet"), arn("security-group-rule")],
        "Condition": of_stack("aws:RequestTag"),
    });
    let use_own = json!({
        "Effect": "Allow",
        "Action": ["ec2:CreateSubnet", "ec2:Delete*", "ec2:AttachInternetGateway", "ec2:AuthorizeSecurityGroupEgress"],
        "Resource": "*",
        "Condition": of_stack("aws:ResourceTag"),
    });
    let tag = |actions: Value| {
        json!({
            "Effect": "Allow",
            "Action": "ec2:CreateTags",
            "Resource": "*",
            "Condition": { "StringEquals": { "ec2:CreateAction": actions } },
        })
    };
    let endpoints = |used: &[&str]| {
        let mut resources: Vec<_> = used.iter().map(|kind| arn(kind)).collect();
        resources.push(arn("vpc-endpoint"));
        let actions = ["ec2:CreateVpcEndpoint", "ec2:CreateTags"];
        json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
    };
    let attribute = json!({
        "Effect": "Allow",
        "Action": "ec2:ModifyVpcAttribute",
        "Resource": "*",
        "Condition": of_stack("aws:ResourceTag"),
    });
    let zone = json!({
        "Effect": "Allow",
        "Action": "route53:AssociateVPCWithHostedZone",
        "Resource": "arn:aws:route53:::hostedzone/*",
        "Condition": { "StringLike": { "route53:VPCs": format!("VPCId=vpc-*,VPCRegion={REGION}") } },
    });
    match role {
        "Endpoints" => json!([endpoints(&["vpc", "subnet", "security-group"]), attribute, zone]),
        // May give an endpoint no name.
        "Nameless" => json!([endpoints(&["vpc", "subnet", "security-group"]), attribute]),
        // May use no group.
        "NoGroup" => json!([endpoints(&["vpc", "subnet"]), zone]),
        "OfStack" => json!([
            create,
            use_own,
            tag(json!(["CreateVpc", "CreateSubnet", "AuthorizeSecurityGroupEgress"])),
        ]),
        // May tag, but not in the call that it may make.
        "WrongTagger" => json!([create, use_own, tag(json!(["CreateSubnet"]))]),
        // May make subnets, but not in this VPC.
        "NoVpc" => json!([create, tag(json!(["CreateSubnet"]))]),
        // May delete groups of this one VPC that does not exist.
        "OtherVpc" => json!([{
            "Effect": "Allow",
            "Action": "ec2:DeleteSecurityGroup",
            "Resource": "*",
            "Condition": { "ArnEquals": { "ec2:Vpc": arn("vpc").replace('*', "vpc-other") } },
        }]),
        "AnyVpc" => json!([{
            "Effect": "Allow",
            "Action": "ec2:DeleteSecurityGroup",
            "Resource": arn("security-group"),
            "Condition": { "ArnLike": { "ec2:Vpc": arn("vpc") } },
        }]),
        other => panic!("there is no role {other}"),
    }
}
