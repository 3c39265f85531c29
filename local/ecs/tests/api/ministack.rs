//! What the stand-in needs of MiniStack: two VPCs, one cluster, one log group, a rule that sends all events of ECS to a
//! queue, and roles. MiniStack itself has its turn in the end-to-end tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::server::Service;
use serde_json::{Value, json};

use crate::cloud::{ACCOUNT, CLUSTER, REGION};

/// Customer's keys that secrets are encrypted with: one that the role `execution` may use, and another.
const OPEN_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const SHUT_KEY: &str = "0987dcba-09fe-87dc-65ba-ab0987654321";

/// What the pretended MiniStack has seen.
#[derive(Default)]
pub struct Seen {
    /// The messages of each log stream.
    pub logs: HashMap<String, Vec<String>>,
    /// The details of all events, with `detail-type` in them.
    pub events: Vec<Value>,
}

/// The pretended MiniStack, which notes what it sees.
#[derive(Clone)]
pub struct MiniStack(pub Arc<Mutex<Seen>>);

#[async_trait]
impl Service for MiniStack {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let target = request.headers().get("x-amz-target").map(|target| target.to_str().unwrap());
        let (status, answer) = match target {
            None => query_answer(std::str::from_utf8(request.body()).unwrap()),
            Some(target) => {
                let body = serde_json::from_slice(request.body()).unwrap();
                let (status, answer) = json_answer(&self.0, target, &body);
                (status, answer.to_string())
            }
        };
        Response::builder().status(status).body(answer.into()).unwrap()
    }
}

fn json_answer(seen: &Mutex<Seen>, target: &str, body: &Value) -> (u16, Value) {
    let mut seen = seen.lock().unwrap();
    let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:events");
    let answer = match target {
        "AmazonEC2ContainerServiceV20141113.DescribeClusters" if body["clusters"][0] == CLUSTER => {
            json!({ "clusters": [{
            "clusterArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"),
            "clusterName": CLUSTER,
            "status": "ACTIVE",
            "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
            "tags": [{ "key": "mayfly:stack", "value": "s" }],
        }] })
        }
        "AmazonEC2ContainerServiceV20141113.DescribeClusters" => json!({ "clusters": [] }),
        "AmazonEC2ContainerServiceV20141113.ListClusters" => {
            json!({ "clusterArns": [format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}")] })
        }
        "Logs_20140328.CreateLogStream" if body["logGroupName"] != "group" => {
            let message = "The specified log group does not exist.";
            return (400, json!({ "__type": "ResourceNotFoundException", "message": message }));
        }
        // What a private registry asks for; it has the same account.
        "secretsmanager.GetSecretValue" if body["SecretId"].to_string().contains(":registry-") => {
            json!({ "SecretString": r#"{"username":"u","password":"p4ss"}"# })
        }
        "secretsmanager.GetSecretValue" => json!({ "SecretString": r#"{"user":"u","password":"p4ss"}"# }),
        "secretsmanager.DescribeSecret" => {
            let name = body["SecretId"].as_str().unwrap();
            json!({ "ARN": name, "Name": "s", "KmsKeyId": key_of(name) })
        }
        "AmazonSSM.DescribeParameters" => {
            let filter = &body["ParameterFilters"][0];
            assert_eq!((&filter["Key"], &filter["Option"]), (&json!("Name"), &json!("Equals")));
            let describe = |name: &Value| json!({ "Name": name, "KeyId": key_of(name.as_str().unwrap()).unwrap_or("alias/aws/ssm") });
            let found: Vec<_> = filter["Values"].as_array().unwrap().iter().map(describe).collect();
            json!({ "Parameters": found })
        }
        "AmazonSSM.GetParameters" => {
            assert_eq!(body["WithDecryption"], true);
            let known = |name: &&Value| *name != "/gone/key";
            let (found, gone): (Vec<_>, Vec<_>) = body["Names"].as_array().unwrap().iter().partition(known);
            let found: Vec<_> = found
                .iter()
                .map(|name| json!({ "Name": name, "Value": format!("value of {}", name.as_str().unwrap()) }))
                .collect();
            json!({ "Parameters": found, "InvalidParameters": gone })
        }
        "Logs_20140328.CreateLogStream" => json!({}),
        "Logs_20140328.PutLogEvents" => {
            let stream = seen.logs.entry(body["logStreamName"].as_str().unwrap().to_owned()).or_default();
            let events = body["logEvents"].as_array().unwrap().iter();
            stream.extend(events.map(|event| event["message"].as_str().unwrap().to_owned()));
            json!({})
        }
        "AWSEvents.ListRules" => json!({ "Rules": [{
            "Name": "all", "Arn": "arn:rule", "State": "ENABLED", "EventPattern": r#"{"source":["aws.ecs"]}"#,
        }] }),
        "AWSEvents.ListTargetsByRule" => json!({ "Targets": [{ "Id": "1", "Arn": queue }] }),
        "AmazonSQS.GetQueueUrl" => json!({ "QueueUrl": "http://127.0.0.1/events" }),
        "AmazonSQS.GetQueueAttributes" => {
            let policy = json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" },
                "Action": "sqs:SendMessage", "Resource": queue,
            }] });
            json!({ "Attributes": { "Policy": policy.to_string() } })
        }
        "AmazonSQS.SendMessage" => {
            seen.events.push(serde_json::from_str(body["MessageBody"].as_str().unwrap()).unwrap());
            json!({ "MessageId": "1", "MD5OfMessageBody": "" })
        }
        other => panic!("MiniStack was asked for {other}: {body}"),
    };
    (200, answer)
}

fn query_answer(body: &str) -> (u16, String) {
    let fields: HashMap<_, _> = body.split('&').filter_map(|field| field.split_once('=')).collect();
    let answer = match fields["Action"] {
        "AssumeRole" => {
            let role = fields["RoleArn"].rsplit("%2F").next().unwrap();
            if role == "untrusting" {
                return (
                    403,
                    "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>".to_owned(),
                );
            }
            format!(
                "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA{role}</AccessKeyId>\
                 <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
                 <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser>\
                 <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test</Arn><AssumedRoleId>A:test</AssumedRoleId>\
                 </AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
            )
        }
        // Two VPCs, each with a subnet, and a group that admits this machine's own address and the VPC's to
        // port 8080.
        "DescribeSubnets" => {
            let subnet = |number: u8| {
                format!(
                    "<item><subnetId>subnet-{number}</subnetId>\
                     <subnetArn>arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-{number}</subnetArn>\
                     <ownerId>{ACCOUNT}</ownerId><vpcId>vpc-{number}</vpcId><state>available</state>\
                     <cidrBlock>10.0.{number}.0/24</cidrBlock><availabilityZone>{REGION}a</availabilityZone>\
                     <defaultForAz>false</defaultForAz><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch></item>"
                )
            };
            let subnets = [1, 2].map(subnet).concat();
            format!("<DescribeSubnetsResponse><subnetSet>{subnets}</subnetSet></DescribeSubnetsResponse>")
        }
        "DescribeSecurityGroups" => {
            let group = |number: u8| {
                format!(
                    "<item><groupId>sg-{number}</groupId><groupName>g</groupName><groupDescription>g</groupDescription>\
                     <ownerId>{ACCOUNT}</ownerId><vpcId>vpc-{number}</vpcId><ipPermissions><item>\
                     <ipProtocol>udp</ipProtocol><fromPort>8080</fromPort><toPort>8080</toPort><ipRanges><item>\
                     <cidrIp>127.0.0.1/32</cidrIp></item></ipRanges></item><item>\
                     <ipProtocol>tcp</ipProtocol><fromPort>8080</fromPort><toPort>8080</toPort><ipRanges><item>\
                     <cidrIp>127.0.0.1/32</cidrIp></item><item><cidrIp>10.0.0.0/16</cidrIp></item></ipRanges></item></ipPermissions><ipPermissionsEgress><item>\
                     <ipProtocol>-1</ipProtocol><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges></item>\
                     </ipPermissionsEgress></item>"
                )
            };
            let groups = [1, 2].map(group).concat();
            format!(
                "<DescribeSecurityGroupsResponse><securityGroupInfo>{groups}</securityGroupInfo>\
                 </DescribeSecurityGroupsResponse>"
            )
        }
        "DescribeVpcs" => vpcs(),
        "DescribeInternetGateways" => "<DescribeInternetGatewaysResponse/>".to_owned(),
        // All subnets are public.
        "DescribeRouteTables" => {
            let table = |number: u8| {
                format!(
                    "<item><routeTableId>rtb-{number}</routeTableId><vpcId>vpc-{number}</vpcId>\
                     <ownerId>{ACCOUNT}</ownerId><routeSet><item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock>\
                     <gatewayId>igw-{number}</gatewayId><origin>CreateRoute</origin><state>active</state></item>\
                     </routeSet><associationSet><item><routeTableAssociationId>rtbassoc-{number}\
                     </routeTableAssociationId><routeTableId>rtb-{number}</routeTableId><main>true</main>\
                     <associationState><state>associated</state></associationState></item></associationSet></item>"
                )
            };
            let tables = [1, 2].map(table).concat();
            format!(
                "<DescribeRouteTablesResponse><routeTableSet>{tables}</routeTableSet></DescribeRouteTablesResponse>"
            )
        }
        // The role `tagger` may do something with what is its own stack's only, and `execution` read some parameters; other
        // roles may do nothing.
        "GetRole" => format!(
            "<GetRoleResponse><GetRoleResult><Role><Path>/</Path><RoleName>r</RoleName><RoleId>r</RoleId>\
             <Arn>arn:aws:iam::{ACCOUNT}:role/r</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>\
             </GetRoleResult></GetRoleResponse>"
        ),
        "ListRolePolicies" => {
            let has_policy = ["tagger", "execution"].contains(&fields["RoleName"]);
            let names = if has_policy { "<member>own</member>" } else { "" };
            format!(
                "<ListRolePoliciesResponse><ListRolePoliciesResult><PolicyNames>{names}</PolicyNames>\
                 <IsTruncated>false</IsTruncated></ListRolePoliciesResult></ListRolePoliciesResponse>"
            )
        }
        "GetRolePolicy" => {
            let policy =
                if fields["RoleName"] == "tagger" { policy_of_tagger() } else { policy_of_execution() };
            format!(
                "<GetRolePolicyResponse><GetRolePolicyResult><RoleName>tagger</RoleName><PolicyName>own</PolicyName>\
                 <PolicyDocument>{policy}</PolicyDocument></GetRolePolicyResult></GetRolePolicyResponse>"
            )
        }
        "ListAttachedRolePolicies" => "<ListAttachedRolePoliciesResponse><ListAttachedRolePoliciesResult>\
             <AttachedPolicies/><IsTruncated>false</IsTruncated></ListAttachedRolePoliciesResult>\
             </ListAttachedRolePoliciesResponse>"
            .to_owned(),
        other => panic!("MiniStack was asked for {other}: {body}"),
    };
    (200, answer)
}

fn vpcs() -> String {
    let vpc = |number: u8| {
        format!(
            "<item><vpcId>vpc-{number}</vpcId><ownerId>{ACCOUNT}</ownerId><state>available</state>\
             <cidrBlock>10.0.0.0/16</cidrBlock><dhcpOptionsId>dopt-{number}</dhcpOptionsId>\
             <instanceTenancy>default</instanceTenancy><isDefault>false</isDefault></item>"
        )
    };
    let vpcs = [1, 2].map(vpc).concat();
    format!("<DescribeVpcsResponse><vpcSet>{vpcs}</vpcSet></DescribeVpcsResponse>")
}

fn policy_of_tagger() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow", "Action": ["ecs:CreateService", "ecs:TagResource"],
            "Resource": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/{CLUSTER}/own-*"),
            "Condition": { "StringEquals": { "aws:RequestTag/mayfly:stack": "s" } },
        },
        {
            "Effect": "Allow", "Action": "ecs:CreateCluster", "Resource": "*",
            "Condition": { "StringEquals": { "aws:RequestTag/mayfly:stack": "s" } },
        },
        {
            "Effect": "Allow", "Action": "ecs:TagResource",
            "Resource": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/own-*"),
            "Condition": { "StringEquals": { "ecs:CreateAction": "CreateCluster" } },
        },
        {
            "Effect": "Allow", "Action": "ecs:DeleteCluster", "Resource": "*",
            "Condition": { "StringEquals": { "aws:ResourceTag/mayfly:stack": "s" } },
        },
        {
            "Effect": "Allow", "Action": "ecs:ListServices", "Resource": "*",
            "Condition": { "ArnEquals": { "ecs:cluster": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/own-1") } },
        },
        {
            "Effect": "Allow", "Action": "iam:PassRole", "Resource": format!("arn:aws:iam::{ACCOUNT}:role/task"),
            "Condition": { "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
        },
    ] })
}

/// The customer's key of what has this name, where it has one.
fn key_of(name: &str) -> Option<&'static str> {
    [("open-key", OPEN_KEY), ("shut-key", SHUT_KEY)]
        .into_iter()
        .find_map(|(part, key)| name.contains(part).then_some(key))
}

fn policy_of_execution() -> Value {
    let parameters =
        ["key", "api/*", "gone/*"].map(|name| format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name}"));
    let via = ["secretsmanager", "ssm"].map(|service| format!("{service}.{REGION}.amazonaws.com"));
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ssm:GetParameters", "Resource": parameters },
        {
            "Effect": "Allow", "Action": "kms:Decrypt", "Resource": OPEN_KEY,
            "Condition": { "StringEquals": { "kms:ViaService": via } },
        },
    ] })
}
