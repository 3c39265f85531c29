//! A stack of the template in the simulated account: what CloudFormation would make, made of the stand-ins.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_sdk_ec2::types::{IpPermission, IpRange};
use local_aws::policy::Policy;
use local_aws::upstream::Upstream;
use local_states::world::Source;
use serde_json::Value;

use crate::account::root;
use crate::lambda::Function;
use crate::template::{Physical, Template};

/// The machines' definitions, by their files.
const DEFINITIONS: [(&str, &str); 2] = [
    ("run-job", include_str!("../../../statemachine/run-job.asl.json")),
    ("tear-down", include_str!("../../../statemachine/tear-down.asl.json")),
];

/// The bucket of the simulated jobs.
pub const DATA_BUCKET: &str = "mayfly-data";

/// CloudFormation is done when everything is: the cluster's capacity providers are attached within this.
const SETTLED: Duration = Duration::from_mins(1);

/// A stack that has been deployed.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// The template with the stack's parameters.
    pub template: Template,
    /// What each logical id stands for.
    pub physical: BTreeMap<String, Physical>,
    /// What each role may do, by its ARN.
    pub policies: BTreeMap<String, Vec<Policy>>,
    /// Who may act as each role, by its ARN: the document.
    pub trust: BTreeMap<String, Value>,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Its machines, by ARN.
    pub machines: BTreeMap<String, Source>,
}

impl Stack {
    /// Deploys the stack `name`: its network and its cluster by calls of the account's root, all else by name.
    ///
    /// # Errors
    /// Where something is refused, or the template has what is not known here.
    pub async fn deploy(upstream: &Upstream, name: &str, parameters: &[(&str, &str)]) -> Result<Self> {
        let template = Template::new(name, &upstream.region, &upstream.account, parameters)?;
        let mut physical = BTreeMap::new();
        for resource in template.resources() {
            if let Some(named) = named(upstream, name, resource.id, resource.kind) {
                physical.insert(resource.id.to_owned(), named);
            }
        }
        // A queue's name, a bucket's and a machine's are texts of the template; only what these refer to comes later.
        for resource in template.resources() {
            let property = match resource.kind {
                "AWS::StepFunctions::StateMachine" => "StateMachineName",
                "AWS::Logs::LogGroup" => "LogGroupName",
                _ => continue,
            };
            let given = template.resolve(&resource.properties[property], &physical)?;
            let given = given.as_str().with_context(|| format!("{} has a name", resource.id))?;
            let (region, account) = (&upstream.region, &upstream.account);
            let id = match resource.kind {
                "AWS::Logs::LogGroup" => given.to_owned(),
                _ => format!("arn:aws:states:{region}:{account}:stateMachine:{given}"),
            };
            let arn = match resource.kind {
                "AWS::Logs::LogGroup" => format!("arn:aws:logs:{region}:{account}:log-group:{given}:*"),
                _ => id.clone(),
            };
            physical
                .insert(resource.id.to_owned(), Physical { id, attributes: BTreeMap::from([("Arn", arn)]) });
        }
        make_network(upstream, &template, &mut physical).await.context("the stack's own network")?;
        upstream.clock.sleep(SETTLED).await;
        let mut stack = Self {
            name: name.to_owned(),
            template,
            physical,
            policies: BTreeMap::new(),
            trust: BTreeMap::new(),
            functions: Vec::new(),
            machines: BTreeMap::new(),
        };
        stack.read_roles()?;
        stack.read_functions()?;
        stack.read_machines(upstream)?;
        Ok(stack)
    }

    /// What `Ref` of a logical id gives.
    ///
    /// # Panics
    /// Where the template has no such resource.
    pub fn id(&self, logical: &str) -> &str {
        &self.physical.get(logical).unwrap_or_else(|| panic!("the template has no {logical}")).id
    }

    /// The ARN of a logical id.
    ///
    /// # Panics
    /// Where the template has no such resource, or it has no ARN here.
    pub fn arn(&self, logical: &str) -> &str {
        let resource = self.physical.get(logical).unwrap_or_else(|| panic!("the template has no {logical}"));
        resource.attributes.get("Arn").unwrap_or_else(|| panic!("{logical} has no ARN"))
    }

    /// The properties of the resource `logical` as CloudFormation would see them.
    ///
    /// # Errors
    /// Where they refer to what is not there.
    pub fn properties(&self, logical: &str) -> Result<Value> {
        let properties = self.template.properties(logical);
        let properties = properties.with_context(|| format!("the template has no {logical}"))?;
        self.template.resolve(properties, &self.physical).with_context(|| logical.to_owned())
    }

    /// The logical ids of the resources of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<String> {
        let resources = self.template.resources().filter(|resource| resource.kind == kind);
        resources.map(|resource| resource.id.to_owned()).collect()
    }

    fn read_roles(&mut self) -> Result<()> {
        let arns: BTreeMap<String, String> = self
            .of_kind("AWS::IAM::Role")
            .into_iter()
            .map(|logical| (self.id(&logical).to_owned(), self.arn(&logical).to_owned()))
            .collect();
        for logical in self.of_kind("AWS::IAM::Role") {
            let properties = self.properties(&logical)?;
            let arn = self.arn(&logical).to_owned();
            self.trust.insert(arn.clone(), properties["AssumeRolePolicyDocument"].clone());
            let policies = properties["Policies"].as_array().into_iter().flatten();
            let policies = policies.map(|policy| parse(&policy["PolicyDocument"]));
            self.policies.insert(arn, policies.collect::<Result<_>>().with_context(|| logical.clone())?);
        }
        for logical in self.of_kind("AWS::IAM::Policy") {
            let properties = self.properties(&logical)?;
            for role in properties["Roles"].as_array().into_iter().flatten() {
                let arn = role.as_str().and_then(|name| arns.get(name)).context("a role of the stack")?;
                self.policies.entry(arn.clone()).or_default().push(parse(&properties["PolicyDocument"])?);
            }
        }
        Ok(())
    }

    fn read_functions(&mut self) -> Result<()> {
        for logical in self.of_kind("AWS::Lambda::Function") {
            let properties = self.properties(&logical)?;
            let variables = properties["Environment"]["Variables"].as_object().into_iter().flatten();
            self.functions.push(Function {
                folder: folder(&logical),
                arn: self.arn(&logical).to_owned(),
                role_arn: properties["Role"].as_str().context("a role")?.to_owned(),
                variables: variables
                    .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                    .collect(),
                time_out: Duration::from_secs(properties["Timeout"].as_u64().context("a time-out")?),
            });
        }
        Ok(())
    }

    fn read_machines(&mut self, upstream: &Upstream) -> Result<()> {
        for logical in self.of_kind("AWS::StepFunctions::StateMachine") {
            let properties = self.properties(&logical)?;
            let arn = self.arn(&logical).to_owned();
            let file = DEFINITIONS.iter().find(|(file, _)| arn.ends_with(&format!("-{file}")));
            let definition = file.with_context(|| format!("no definition of {arn}"))?.1;
            let own = &properties["DefinitionSubstitutions"];
            let definition = self.template.substitute(definition, own, &self.physical)?;
            self.machines.insert(
                arn.clone(),
                Source {
                    arn,
                    definition,
                    role: properties["RoleArn"].as_str().context("a role")?.to_owned(),
                    revision: None,
                    created: upstream.clock.now().as_duration().as_secs_f64(),
                    tags: BTreeMap::new(),
                },
            );
        }
        Ok(())
    }
}

/// SAM writes the policy of a schedule's role without a version. It then has the older one, in which nothing but `${…}`
/// means something else (IAM JSON policy elements: Version).
fn parse(document: &Value) -> Result<Policy> {
    let mut document = document.clone();
    if document["Version"].is_null() && !document.to_string().contains("${") {
        document["Version"] = "2012-10-17".into();
    }
    Ok(Policy::parse(&document.to_string())?)
}

/// The folder of a function, as the template names them: `CreateVpcFunction` is `create-vpc`.
fn folder(logical: &str) -> String {
    let mut folder = String::new();
    for letter in logical.strip_suffix("Function").unwrap_or(logical).chars() {
        if letter.is_ascii_uppercase() && !folder.is_empty() {
            folder.push('-');
        }
        folder.push(letter.to_ascii_lowercase());
    }
    folder
}

/// What CloudFormation names by itself: the stack, the logical id, and a random end.
fn named(upstream: &Upstream, stack: &str, logical: &str, kind: &str) -> Option<Physical> {
    let (region, account) = (&upstream.region, &upstream.account);
    let end: String = (0..12).map(|_| char::from(upstream.random.range(b'A'..=b'Z'))).collect();
    let name = format!("{stack}-{logical}-{end}");
    let (id, attributes) = match kind {
        "AWS::Lambda::Function" => {
            // At most 64 characters (Lambda API reference, `FunctionName`); CloudFormation shortens the middle.
            let kept: String = logical.chars().take(64 - stack.len() - end.len() - 2).collect();
            let name = format!("{stack}-{kept}-{end}");
            let arn = format!("arn:aws:lambda:{region}:{account}:function:{name}");
            (name, BTreeMap::from([("Arn", arn)]))
        }
        "AWS::IAM::Role" => {
            let arn = format!("arn:aws:iam::{account}:role/{name}");
            (name, BTreeMap::from([("Arn", arn)]))
        }
        "AWS::SQS::Queue" => {
            let arn = format!("arn:aws:sqs:{region}:{account}:{name}");
            (format!("https://sqs.{region}.amazonaws.com/{account}/{name}"), BTreeMap::from([("Arn", arn)]))
        }
        "AWS::DynamoDB::Table" => {
            let arn = format!("arn:aws:dynamodb:{region}:{account}:table/{name}");
            (name, BTreeMap::from([("Arn", arn)]))
        }
        "AWS::ECS::Cluster" => {
            let arn = format!("arn:aws:ecs:{region}:{account}:cluster/{name}");
            (name, BTreeMap::from([("Arn", arn)]))
        }
        "AWS::ECR::Repository" => {
            let name = name.to_lowercase();
            let arn = format!("arn:aws:ecr:{region}:{account}:repository/{name}");
            let uri = format!("{account}.dkr.ecr.{region}.amazonaws.com/{name}");
            (name, BTreeMap::from([("Arn", arn), ("RepositoryUri", uri)]))
        }
        "AWS::Events::Rule" => {
            let arn = format!("arn:aws:events:{region}:{account}:rule/{name}");
            (name, BTreeMap::from([("Arn", arn)]))
        }
        _ => return None,
    };
    Some(Physical { id, attributes })
}

/// The order in which the parts of a network can be made.
const ORDER: [&str; 9] = [
    "AWS::EC2::VPC",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::Subnet",
    "AWS::EC2::RouteTable",
    "AWS::EC2::Route",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::SecurityGroup",
    "AWS::ECS::Cluster",
];

async fn make_network(
    upstream: &Upstream,
    template: &Template,
    physical: &mut BTreeMap<String, Physical>,
) -> Result<()> {
    let config = root(upstream);
    let (ec2, ecs) = (aws_sdk_ec2::Client::new(&config), aws_sdk_ecs::Client::new(&config));
    for kind in ORDER {
        for resource in template.resources().filter(|resource| resource.kind == kind) {
            let given = template.resolve(resource.properties, physical)?;
            let text = |name: &str| given[name].as_str().map(str::to_owned);
            let mut attributes = BTreeMap::new();
            let id = match kind {
                "AWS::EC2::VPC" => {
                    let made = ec2.create_vpc().set_cidr_block(text("CidrBlock")).send().await?;
                    made.vpc.and_then(|vpc| vpc.vpc_id)
                }
                "AWS::EC2::InternetGateway" => {
                    let made = ec2.create_internet_gateway().send().await?;
                    made.internet_gateway.and_then(|gateway| gateway.internet_gateway_id)
                }
                "AWS::EC2::VPCGatewayAttachment" => {
                    let attach = ec2.attach_internet_gateway().set_vpc_id(text("VpcId"));
                    attach.set_internet_gateway_id(text("InternetGatewayId")).send().await?;
                    text("InternetGatewayId")
                }
                "AWS::EC2::Subnet" => {
                    let make =
                        ec2.create_subnet().set_vpc_id(text("VpcId")).set_cidr_block(text("CidrBlock"));
                    let made = make.set_availability_zone(text("AvailabilityZone")).send().await?;
                    let subnet = made.subnet.context("a subnet")?;
                    attributes.extend(subnet.availability_zone.map(|zone| ("AvailabilityZone", zone)));
                    subnet.subnet_id
                }
                "AWS::EC2::RouteTable" => {
                    let made = ec2.create_route_table().set_vpc_id(text("VpcId")).send().await?;
                    made.route_table.and_then(|table| table.route_table_id)
                }
                "AWS::EC2::Route" => {
                    let make = ec2.create_route().set_route_table_id(text("RouteTableId"));
                    let make = make.set_destination_cidr_block(text("DestinationCidrBlock"));
                    make.set_gateway_id(text("GatewayId")).send().await?;
                    text("RouteTableId")
                }
                "AWS::EC2::SubnetRouteTableAssociation" => {
                    let associate = ec2.associate_route_table().set_subnet_id(text("SubnetId"));
                    associate.set_route_table_id(text("RouteTableId")).send().await?.association_id
                }
                "AWS::EC2::SecurityGroup" => {
                    let make = ec2.create_security_group().set_vpc_id(text("VpcId")).group_name(resource.id);
                    let group = make.set_description(text("GroupDescription")).send().await?.group_id;
                    let group = group.context("a group")?;
                    let all = IpPermission::builder().ip_protocol("-1");
                    let all = all.ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build()).build();
                    ec2.revoke_security_group_egress().group_id(&group).ip_permissions(all).send().await?;
                    for rule in given["SecurityGroupEgress"].as_array().into_iter().flatten() {
                        let port = |name: &str| rule[name].as_i64().and_then(|port| i32::try_from(port).ok());
                        let range =
                            IpRange::builder().set_cidr_ip(rule["CidrIp"].as_str().map(str::to_owned));
                        let permission = IpPermission::builder()
                            .set_ip_protocol(rule["IpProtocol"].as_str().map(str::to_owned))
                            .set_from_port(port("FromPort"))
                            .set_to_port(port("ToPort"))
                            .ip_ranges(range.build());
                        let authorize = ec2.authorize_security_group_egress().group_id(&group);
                        authorize.ip_permissions(permission.build()).send().await?;
                    }
                    attributes.insert("GroupId", group.clone());
                    Some(group)
                }
                "AWS::ECS::Cluster" => {
                    let name = physical.get(resource.id).context("its name")?.id.clone();
                    let providers = given["CapacityProviders"].as_array().into_iter().flatten();
                    let providers = providers.filter_map(|name| name.as_str().map(str::to_owned)).collect();
                    let made =
                        ecs.create_cluster().cluster_name(&name).set_capacity_providers(Some(providers));
                    let made = made.send().await?.cluster.context("a cluster")?;
                    attributes.extend(made.cluster_arn.map(|arn| ("Arn", arn)));
                    Some(name)
                }
                _ => bail!("{kind} is made by nobody"),
            };
            let id = id.with_context(|| format!("{} has no id", resource.id))?;
            physical.insert(resource.id.to_owned(), Physical { id, attributes });
        }
    }
    Ok(())
}
