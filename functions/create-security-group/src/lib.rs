//! CreateSecurityGroup: a security group of the job's. From the container TCP goes out to the job's ports alone, from its
//! load balancer only to the containers' subnets, and nothing from its endpoints; DNS at the VPC's resolver is never
//! filtered. What comes in is another step's. In a network that is there, whose own groups say what goes out, nothing does
//! by the container's.
//! Source: VPC user guide, "Security groups".

mod egress;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{IpPermission, ResourceType, SecurityGroup};
use jiff::Timestamp;
use mayfly_ec2::{creating, creating_once, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::names::Names;
use mayfly_model::plan::{Plan, PlannedNetwork, PrivateNetwork};
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateSecurityGroup>();

/// The step.
pub struct CreateSecurityGroup {
    ec2: Client,
    stack: String,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    vpc_id: String,
    /// The one that is made for the job, if it is.
    network: Option<PrivateNetwork>,
    #[serde(default)]
    of: Member,
}

/// What is in the group.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Member {
    /// The job's container.
    #[default]
    Container,
    /// The endpoints through which it calls AWS.
    Endpoints,
    /// The load balancer through which it is called. Its rules name blocks, and never the container's group: groups that
    /// name each other cannot be deleted.
    Balancer,
}

impl Member {
    /// The group's name, which is one of its VPC's alone.
    fn group_name(self, names: &Names) -> String {
        match self {
            Self::Container => names.group(),
            Self::Endpoints => names.endpoint_group(),
            Self::Balancer => names.load_balancer_group(),
        }
    }

    fn description(self, job: &str) -> String {
        match self {
            Self::Container => format!("The container of the job {job}"),
            Self::Endpoints => format!("The endpoints of the job {job}"),
            Self::Balancer => format!("The load balancer of the job {job}"),
        }
    }

    /// What may go out.
    fn egress(self, plan: &Plan, network: Option<&PrivateNetwork>) -> Vec<IpPermission> {
        match (self, network, plan.load_balancer()) {
            (Self::Container, Some(network), _) => egress::wanted(&network.egress_ports, network.egress),
            (Self::Balancer, _, Some(balancer)) => {
                egress::towards(&balancer.admitted, &balancer.target_cidrs)
            }
            (Self::Container, None, _) | (Self::Endpoints, ..) | (Self::Balancer, _, None) => Vec::new(),
        }
    }
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    group_id: String,
    /// All that the container is in: those of the network that it joins, and this one.
    security_groups: Vec<String>,
}

impl Step for CreateSecurityGroup {
    type Input = Input;
    type Output = Created;

    const SDK_RETRIES: bool = false;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: Client::new(environment.sdk()),
            stack: environment.setting("STACK_NAME")?,
            clock: environment.clock(),
        })
    }

    /// A group that a first try left with other rules gets the right ones.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        let Self { ec2, stack, clock } = self;
        let Input { plan, vpc_id, network, of } = input;
        let now = clock.now();
        let owner = Owner { stack, job: &plan.job };
        let name = of.group_name(&owner.names());
        let mut found = find::owned::<SecurityGroup>(ec2, owner).await?;
        found.retain(|group| group.vpc_id() == Some(&vpc_id) && group.group_name() == Some(&name));
        let own =
            |group: SecurityGroup| Some((group.group_id?, group.ip_permissions_egress.unwrap_or_default()));
        let (group_id, rules) = if let Some(own) = found.into_iter().find_map(own) {
            own
        } else {
            let description = of.description(&plan.job);
            let group_id = create(ec2, &plan, now, &vpc_id, &name, description).await?;
            (group_id, egress::of_new_group(network.as_ref().map(|network| network.egress)))
        };
        let wanted = of.egress(&plan, network.as_ref());
        let (unwanted, missing) = egress::differences(rules, &wanted);
        revoke(ec2, &plan, now, &group_id, unwanted).await?;
        authorize(ec2, &plan, now, &group_id, missing).await?;
        tracing::info!(group_id, "security group ready");
        let joined = match plan.network {
            PlannedNetwork::Joined(joined) => joined.security_groups,
            PlannedNetwork::Private(_) => Vec::new(),
        };
        Ok(Created { security_groups: joined.into_iter().chain([group_id.clone()]).collect(), group_id })
    }
}

async fn create(
    ec2: &Client,
    plan: &Plan,
    now: Timestamp,
    vpc_id: &str,
    name: &str,
    description: String,
) -> Result<String, Error> {
    const DOING: &str = "create a security group of the job";
    let created = ec2
        .create_security_group()
        .group_name(name)
        .description(description)
        .vpc_id(vpc_id)
        .tag_specifications(tag_specification(ResourceType::SecurityGroup, &plan.tags))
        .send()
        .await
        .map_err(creating_once(DOING, plan, now, "InvalidGroup.Duplicate"))?;
    given(DOING, "groupId", created.group_id)
}

/// A rule that is not there any more was revoked by a try whose answer was lost.
async fn revoke(
    ec2: &Client,
    plan: &Plan,
    now: Timestamp,
    group_id: &str,
    rules: Vec<IpPermission>,
) -> Result<(), Error> {
    for rule in rules {
        match ec2.revoke_security_group_egress().group_id(group_id).ip_permissions(rule).send().await {
            Ok(_) => {}
            Err(error) if error.code() == Some("InvalidPermission.NotFound") => {}
            Err(error) => {
                return Err(creating("revoke what the job's security group allows", plan, now)(error));
            }
        }
    }
    Ok(())
}

/// All in one call, which EC2 takes or refuses as a whole: where one rule is there, all are.
async fn authorize(
    ec2: &Client,
    plan: &Plan,
    now: Timestamp,
    group_id: &str,
    rules: Vec<IpPermission>,
) -> Result<(), Error> {
    if rules.is_empty() {
        return Ok(());
    }
    let authorized = ec2
        .authorize_security_group_egress()
        .group_id(group_id)
        .set_ip_permissions(Some(rules))
        .tag_specifications(tag_specification(ResourceType::SecurityGroupRule, &plan.tags))
        .send()
        .await;
    match authorized {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("InvalidPermission.Duplicate") => Ok(()),
        Err(error) => Err(creating("allow the job's ports in its security group", plan, now)(error)),
    }
}
