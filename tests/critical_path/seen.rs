//! What is seen of the job while it runs, by AWS's own APIs and in the local cloud's log of calls: the execution, what of
//! its network AWS takes its time for, the task.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use aws_sdk_ec2::types::{
    Filter, NatGateway, State as EndpointState, Vpc, VpcCidrBlockStateCode, VpcEndpoint, VpcEndpointType,
    VpcIpv6CidrBlockAssociation,
};
use aws_sdk_ecs::operation::list_tasks::ListTasksError;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use jiff::Timestamp;
use local_aws::calls::CallLog;
use local_cloud::Cloud;
use mayfly_model::job::Egress;
use mayfly_model::names::Names;
use tokio::time::sleep;

use crate::path::Span;
use crate::{JOB, STACK};

/// Between two looks at the network, whose change has no time of its own in any answer.
const GLANCE: Duration = Duration::from_millis(100);
/// Between two looks at what remembers its times.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Clients that act as the account's root.
pub struct Clients {
    pub states: aws_sdk_sfn::Client,
    ec2: aws_sdk_ec2::Client,
    ecs: aws_sdk_ecs::Client,
    calls: CallLog,
}

/// What AWS took its time for, one after the other.
pub struct Delays {
    /// From the creation of what of the network takes longest until it was last seen pending.
    pub network: Span,
    /// From the task's creation until it was RUNNING.
    pub task: Span,
}

/// Whether something of the job's network is still to come.
#[derive(PartialEq, Eq)]
enum Life {
    Pending,
    There,
}

impl Clients {
    pub fn of(cloud: &Cloud) -> Self {
        let (config, upstream) = (cloud.sdk_config(), cloud.upstream());
        let at = |origin: &String| config.to_builder().endpoint_url(origin).build();
        Self {
            states: aws_sdk_sfn::Client::new(&at(&upstream.states)),
            ec2: aws_sdk_ec2::Client::new(&at(&upstream.ec2)),
            ecs: aws_sdk_ecs::Client::new(&at(&upstream.ecs)),
            calls: cloud.calls().clone(),
        }
    }

    /// Waits until the container runs.
    pub async fn delays(&self, egress: Egress) -> Result<Delays> {
        let network = self.network_pending(egress).await?;
        Ok(Delays { network, task: self.task_starting().await? })
    }

    /// Waits until the execution has ended.
    pub async fn ended(&self, execution: &str) -> Result<DescribeExecutionOutput> {
        loop {
            let described = self.states.describe_execution().execution_arn(execution).send().await?;
            if *described.status() != ExecutionStatus::Running {
                return Ok(described);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// All events of an execution, without the data.
    pub async fn history(&self, execution: &str) -> Result<Vec<HistoryEvent>> {
        let pages =
            self.states.get_execution_history().execution_arn(execution).include_execution_data(false);
        Ok(pages.into_paginator().items().send().collect::<Result<_, _>>().await?)
    }

    /// Waits until all that is still to come is there.
    async fn network_pending(&self, egress: Egress) -> Result<Span> {
        let mut spans: HashMap<String, Span> = HashMap::new();
        loop {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
            let (made_by, things) = match egress {
                Egress::Nat => ("ec2:CreateNatGateway", self.nat_gateways().await?),
                Egress::Endpoints => ("ec2:CreateVpcEndpoint", self.interface_endpoints().await?),
                Egress::Ipv6 => ("ec2:CreateVpc", self.address_blocks().await?),
            };
            let is_there = things.iter().all(|(_, life)| *life == Life::There);
            for (id, _) in things.into_iter().filter(|(_, life)| *life == Life::Pending) {
                if let Some(span) = spans.get_mut(&id) {
                    span.to = now;
                } else {
                    spans.insert(id, Span { from: self.answered(made_by, now)?, to: now });
                }
            }
            let longest = spans.values().max_by(|one, other| one.seconds().total_cmp(&other.seconds()));
            if let Some(longest) = longest.filter(|_| is_there) {
                return Ok(*longest);
            }
            sleep(GLANCE).await;
        }
    }

    async fn nat_gateways(&self) -> Result<Vec<(String, Life)>> {
        let described = self.ec2.describe_nat_gateways().filter(of_job()).send().await?;
        let told = |nat: &NatGateway| told(nat.nat_gateway_id(), nat.state().map(|state| state.as_str()));
        described.nat_gateways().iter().map(told).collect()
    }

    async fn interface_endpoints(&self) -> Result<Vec<(String, Life)>> {
        let described = self.ec2.describe_vpc_endpoints().filters(of_job()).send().await?;
        let told = |endpoint: &VpcEndpoint| {
            told(endpoint.vpc_endpoint_id(), endpoint.state().map(EndpointState::as_str))
        };
        let is_interface =
            |endpoint: &&VpcEndpoint| endpoint.vpc_endpoint_type() == Some(&VpcEndpointType::Interface);
        described.vpc_endpoints().iter().filter(is_interface).map(told).collect()
    }

    /// The VPCs' blocks of IPv6 addresses.
    async fn address_blocks(&self) -> Result<Vec<(String, Life)>> {
        let described = self.ec2.describe_vpcs().filters(of_job()).send().await?;
        let blocks = described.vpcs().iter().flat_map(Vpc::ipv6_cidr_block_association_set);
        let told = |block: &VpcIpv6CidrBlockAssociation| {
            let state = block.ipv6_cidr_block_state().and_then(|state| state.state());
            told(block.association_id(), state.map(VpcCidrBlockStateCode::as_str))
        };
        blocks.map(told).collect()
    }

    /// When such a call that succeeded was last answered before `now`. EC2's own times are in whole seconds.
    fn answered(&self, action: &str, now: f64) -> Result<f64> {
        let calls = self.calls.snapshot();
        let of_action = calls.iter().filter(|call| call.action == action && call.outcome == "OK");
        let times: Vec<Timestamp> = of_action.map(|call| call.time.parse()).collect::<Result<_, _>>()?;
        let seconds = times.iter().map(|time| time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64());
        let last = seconds.filter(|time| *time <= now).max_by(f64::total_cmp);
        last.with_context(|| format!("nobody has called {action}"))
    }

    async fn task_starting(&self) -> Result<Span> {
        let cluster = Names::new(STACK, JOB).cluster();
        loop {
            let listed = match self.ecs.list_tasks().cluster(&cluster).send().await {
                Ok(listed) => listed.task_arns.unwrap_or_default(),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(ListTasksError::is_cluster_not_found_exception) =>
                {
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            };
            if let Some(arn) = listed.first() {
                let described = self.ecs.describe_tasks().cluster(&cluster).tasks(arn).send().await?;
                let task = described.tasks().first();
                let times = task.and_then(|task| Some((task.created_at()?, task.started_at()?)));
                if let Some((created, started)) = times {
                    return Ok(Span { from: created.as_secs_f64(), to: started.as_secs_f64() });
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn of_job() -> Filter {
    Filter::builder().name("tag:mayfly:job").values(JOB).build()
}

/// Endpoints alone have states that begin with a capital in the model and with none on the wire.
fn told(id: Option<&str>, state: Option<&str>) -> Result<(String, Life)> {
    let (id, state) = (id.unwrap_or_default().to_owned(), state.unwrap_or_default().to_lowercase());
    match state.as_str() {
        "pending" | "associating" => Ok((id, Life::Pending)),
        "available" | "associated" => Ok((id, Life::There)),
        _ => bail!("{id} is {state}"),
    }
}
