//! A network is made all the same while AWS does not know everywhere what it has just made, and while EC2 lets only so
//! many calls pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, bail};
use aws_sdk_ec2::config::retry::RetryConfig;
use futures_util::future::{join_all, try_join, try_join_all};
use libtest_mimic::Trial;
use local_aws::calls::Call;
use local_cloud::{ACCOUNT, REGION};
use local_ec2::Fault;
use local_ecs::Rule;
use mayfly_model::class::Class;
use mayfly_model::names::Names;
use serde_json::{Value, json};

use crate::support::course;
use crate::support::denial::Denial;
use crate::support::documents::{by_egress, command, private};
use crate::support::harness::Harness;
use crate::support::history::{refusals, states_entered};
use crate::support::machines::states;
use crate::support::world::{STACK, World, until};

/// States that may find everything seen that they need: by then a step before them has waited for something that was
/// made as late, for the attachment, the route table that it associates, or the NAT gateway that it looks at. And
/// DispatchJob needs nothing of EC2's, but the mailbox, which has a test of its own.
const SEEN_BY_THEN: &[&str] = &[
    "CreateNatGateway",
    "AssociatePublicRouteTable",
    "AssociateSecondPrivateRouteTable",
    "CreatePublicRoute",
    "CreateEndpoints",
    "CreatePrivateRoute",
    "DispatchJob",
    // A step before them has waited.
    "AssociateIsolatedRouteTable",
    "AuthorizeEndpointIngress",
    "CreateIsolatedEndpoints",
    "CheckEndpoints",
    "CreateEgressOnlyInternetGateway",
    "CreateIpv6Route",
    "AssociateFirstIpv6RouteTable",
    "AssociateSecondIpv6RouteTable",
    "CreateFirstIpv6Subnet",
    "CreateSecondIpv6Subnet",
];

/// How many jobs may try to be refused.
const TRIES: usize = 5;

/// So many calls at a time leave nothing of what a bucket is refilled with, on a busy machine too.
const SIDE_BY_SIDE: usize = 8;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("what_is_not_seen_at_once_is_waited_for", not_seen),
        harness.trial("calls_that_are_throttled_are_made_again", throttled),
        harness.trial("a_mailbox_whose_tags_are_seen_late_is_waited_for", tags_seen_late),
        harness.trial("a_mailbox_that_stays_denied_is_a_denial", tags_never_seen),
    ]
}

/// Nothing of the job is seen by any call for a while after its creation, longer than until the first look at the NAT
/// gateway; and the account uses ECS for the first time.
async fn not_seen(world: Arc<World>, base: String) -> Result<()> {
    try_join_all(["nat", "endpoints", "ipv6"].map(|egress| not_seen_with(&world, &base, egress))).await?;
    Ok(())
}

async fn not_seen_with(world: &World, base: &str, egress: &str) -> Result<()> {
    let job = format!("{base}-{egress}");
    world.cloud().ec2_faults().add(&job, Fault::Unseen { seconds: 120 });
    world.cloud().ecs_faults().add(&job, [Rule::once(local_ecs::Fault::RoleMissing { times: 2 })]);
    let mut document = by_egress(egress, &["true"]);
    document["network"]["egressPorts"] = json!([80, 443]);
    world.start_job(&job, &document).await?;
    let course = course::of(world, &job).await?;
    course.result()?;
    let entered: BTreeSet<_> = states_entered(&course.events).collect();
    let met = |state: &str, error: &str| {
        refusals(&course.events).filter(|refusal| (refusal.state, refusal.error) == (state, error)).count()
    };
    let retries = |state: &Value| state["Retry"].to_string().contains("\"NotVisibleYet\"");
    for (state, _) in states("run-job").iter().filter(|(_, definition)| retries(definition)) {
        let need_not = SEEN_BY_THEN.contains(&state.as_str()) || !entered.contains(state.as_str());
        assert!(need_not || met(state, "NotVisibleYet") > 0, "{state} was not put to the test");
    }
    assert_eq!(met("CreateCluster", "Unavailable"), 2);
    Ok(())
}

/// The right to send to a mailbox depends on its tags.
async fn deny_mailbox(world: &World, job: &str) -> Result<Denial> {
    let mailboxes = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}*", Names::new(STACK, job).mailbox_prefix());
    Denial::to_function(world, "dispatch-job", job, "sqs:SendMessage", &mailboxes).await
}

async fn tags_seen_late(world: Arc<World>, job: String) -> Result<()> {
    let denial = deny_mailbox(&world, &job).await?;
    let arn = world.start_job(&job, &command(&["true"])).await?;
    world.has_met(&arn, "NotVisibleYet").await?;
    denial.lift(&world).await?;
    let course = course::of(&world, &job).await?;
    course.result()?;
    assert_eq!(course.starts_and_launches(), (1, 1));
    assert!(refusals(&course.events).all(|refusal| refusal.error == "NotVisibleYet"));
    Ok(())
}

async fn tags_never_seen(world: Arc<World>, job: String) -> Result<()> {
    let denial = deny_mailbox(&world, &job).await?;
    let course = course::run(&world, &job, &command(&["true"]), []).await?;
    denial.lift(&world).await?;
    let failure = course.failure(Class::AccessDenied, Some(1))?;
    for words in ["could not put the order in the job's mailbox", "sqs:SendMessage"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    Ok(())
}

/// Somebody else's calls leave the job none. One may slip through all the same; another job then tries again.
async fn throttled(world: Arc<World>, base: String) -> Result<()> {
    // One that takes no for an answer. The calls are wrong, and count all the same.
    let config = world.ec2.config().to_builder().retry_config(RetryConfig::disabled()).build();
    let ec2 = aws_sdk_ec2::Client::from_conf(config);
    let make_endpoint = || ec2.create_vpc_endpoint().vpc_id("vpc-0").service_name("none").send();
    let make_gateway = || ec2.create_nat_gateway().subnet_id("subnet-0").send();
    let mut missing = BTreeSet::from(["ec2:CreateVpcEndpoint", "ec2:CreateNatGateway"]);
    for n in 1..=TRIES {
        let job = format!("{base}-{n}");
        world.start_job(&job, &private(&["true"])).await?;
        let (endpoint, gateway) = try_join(
            first_answer(&world, &job, "ec2:CreateVpcEndpoint", async || _ = make_endpoint().await),
            first_answer(&world, &job, "ec2:CreateNatGateway", async || _ = make_gateway().await),
        )
        .await?;
        course::of(&world, &job).await?.result()?;
        for call in [endpoint, gateway].iter().filter(|call| call.outcome == "RequestLimitExceeded") {
            missing.remove(call.action.as_str());
        }
        if missing.is_empty() {
            return Ok(());
        }
    }
    bail!("{TRIES} jobs were never refused {missing:?}")
}

/// Calls without a pause until the job has called as well, and gives that call.
async fn first_answer(world: &World, job: &str, action: &str, call: impl AsyncFn()) -> Result<Call> {
    let what = format!("{job} to call {action}");
    let answer =
        until(&what, || async { Ok(world.calls(job).into_iter().find(|call| call.action == action)) });
    let calls = join_all([(); SIDE_BY_SIDE].map(|()| async {
        loop {
            call().await;
        }
    }));
    tokio::select! {
        answer = answer => answer,
        _ = calls => unreachable!("the calls never end"),
    }
}
