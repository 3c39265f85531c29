//! CreateSecurityGroup: the security group of the job's container. Nothing comes in, and out goes TCP to the job's
//! ports alone; DNS at the VPC's resolver is never filtered.
//! Source: VPC user guide, "Security groups".

mod egress;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{IpPermission, ResourceType, SecurityGroup};
use jiff::Timestamp;
use mayfly_ec2::{creating, creating_once, find, tag_specification};
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Clock, Environment, Step};
use mayfly_model::names::Names;
use mayfly_model::plan::{Plan, PrivateNetwork};
use mayfly_model::tags::Owner;
use serde::{Deserialize, Serialize};

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
    network: PrivateNetwork,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    group_id: String,
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
        let Input { plan, vpc_id, network } = input;
        let now = clock.now();
        let mut found = find::owned::<SecurityGroup>(ec2, Owner { stack, job: &plan.job }).await?;
        found.retain(|group| group.vpc_id() == Some(&vpc_id));
        let own =
            |group: SecurityGroup| Some((group.group_id?, group.ip_permissions_egress.unwrap_or_default()));
        let (group_id, rules) = match found.into_iter().find_map(own) {
            Some(own) => own,
            None => (create(ec2, stack, &plan, now, &vpc_id).await?, vec![egress::everything()]),
        };
        let wanted = egress::wanted(&network.egress_ports);
        let (unwanted, missing) = egress::differences(rules, &wanted);
        revoke(ec2, &plan, now, &group_id, unwanted).await?;
        authorize(ec2, &plan, now, &group_id, missing).await?;
        tracing::info!(group_id, "security group ready");
        Ok(Created { group_id })
    }
}

async fn create(
    ec2: &Client,
    stack: &str,
    plan: &Plan,
    now: Timestamp,
    vpc_id: &str,
) -> Result<String, Error> {
    const DOING: &str = "create the job's security group";
    let created = ec2
        .create_security_group()
        .group_name(Names::new(stack, &plan.job).group())
        .description(format!("The container of the job {}", plan.job))
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
