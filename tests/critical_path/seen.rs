//! What is seen of the job while it runs, by AWS's own APIs and in the local cloud's log of calls: the execution, the NAT
//! gateway, the task.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use aws_sdk_ec2::types::{Filter, NatGateway, NatGatewayState};
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use jiff::Timestamp;
use local_aws::calls::CallLog;
use local_cloud::Cloud;
use mayfly_model::names::Names;
use tokio::time::sleep;

use crate::path::Span;
use crate::{JOB, STACK};

/// Between two looks at the NAT gateway, whose change has no time of its own in any answer.
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
    /// From the NAT gateway's creation until it was last seen pending.
    pub nat_gateway: Span,
    /// From the task's creation until it was RUNNING.
    pub task: Span,
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
    pub async fn delays(&self) -> Result<Delays> {
        let nat_gateway = self.nat_gateway_pending().await?;
        Ok(Delays { nat_gateway, task: self.task_starting().await? })
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

    async fn nat_gateway_pending(&self) -> Result<Span> {
        let of_job = Filter::builder().name("tag:mayfly:job").values(JOB).build();
        let mut to = None;
        loop {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
            let described = self.ec2.describe_nat_gateways().filter(of_job.clone()).send().await?;
            match described.nat_gateways().first().and_then(NatGateway::state) {
                Some(NatGatewayState::Pending) => to = Some(now),
                Some(NatGatewayState::Available) => {
                    let to = to.context("the NAT gateway was never seen pending")?;
                    return Ok(Span { from: self.answered("ec2:CreateNatGateway")?, to });
                }
                Some(state) => bail!("the NAT gateway is {state}"),
                None => {}
            }
            sleep(GLANCE).await;
        }
    }

    /// When the first such call that succeeded was answered. EC2's own times are in whole seconds.
    fn answered(&self, action: &str) -> Result<f64> {
        let calls = self.calls.snapshot();
        let call = calls.iter().find(|call| call.action == action && call.outcome == "OK");
        let time: Timestamp = call.with_context(|| format!("nobody has called {action}"))?.time.parse()?;
        Ok(time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64())
    }

    async fn task_starting(&self) -> Result<Span> {
        let cluster = Names::new(STACK, JOB).cluster();
        loop {
            let listed = self.ecs.list_tasks().cluster(&cluster).send().await?;
            if let Some(arn) = listed.task_arns().first() {
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
