//! A network is made all the same while AWS does not know everywhere what it has just made, and while EC2 lets only so
//! many calls pass.

use std::collections::BTreeSet;

use anyhow::Result;
use local_ec2::Fault;
use local_ecs::Rule;
use mayfly_model::class::Class;
use mayfly_simulation::account::JOB;
use mayfly_simulation::circumstance::Circumstance;
use mayfly_simulation::faults::{self, Place, What};
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::works;
use crate::support::documents::{by_egress, command, private};
use crate::support::history::{history, refusals, states_entered};
use crate::support::machines::states;
use crate::support::world::scene;

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

pub fn behaviours() -> Vec<Behaviour> {
    let mut behaviours = vec![
        behaviour("calls_that_are_throttled_are_made_again", throttled),
        behaviour("a_mailbox_whose_tags_are_seen_late_is_waited_for", tags_seen_late),
        behaviour("a_mailbox_that_stays_denied_is_a_denial", tags_never_seen),
    ];
    let egresses = ["nat", "endpoints", "ipv6"];
    behaviours.extend(egresses.map(|egress| {
        behaviour(format!("what_is_not_seen_at_once_is_waited_for_with_{egress}"), move || not_seen(egress))
    }));
    behaviours
}

/// Nothing of the job is seen by any call for a while after its creation, longer than until the first look at the NAT
/// gateway; and the account uses ECS for the first time. What is deleted is listed for as long, which is longer than a
/// teardown looks, so that it may tell it as left.
async fn not_seen(egress: &'static str) -> Result<()> {
    // It works until all of it is seen, else the first search could not tell of it.
    let scene = scene()
        .containers(|_| works(120))
        .around([Circumstance::Networks(Fault::Unseen { seconds: 120 })])
        .tasks([Rule::once(local_ecs::Fault::RoleMissing { times: 2 })]);
    let mut document = by_egress(egress);
    document["network"]["egressPorts"] = json!([80, 443]);
    let mut world = scene.begin().await?;
    let execution = world.start(JOB, &document).await?;
    let outcome = world.outcome(&execution).await?;
    assert!(outcome.end.result().is_some(), "{outcome:#?}");
    let events = history(&execution);
    let entered: BTreeSet<_> = states_entered(&events).collect();
    let met = |state: &str, error: &str| {
        refusals(&events).filter(|refusal| (refusal.state, refusal.error) == (state, error)).count()
    };
    let retries = |state: &Value| state["Retry"].to_string().contains("\"NotVisibleYet\"");
    for (state, _) in states("run-job")?.iter().filter(|(_, definition)| retries(definition)) {
        let need_not = SEEN_BY_THEN.contains(&state.as_str()) || !entered.contains(state.as_str());
        assert!(need_not || met(state, "NotVisibleYet") > 0, "{state} was not put to the test");
    }
    assert_eq!(met("CreateCluster", "Unavailable"), 2);
    world.finish().await
}

async fn tags_seen_late() -> Result<()> {
    let mut world = scene().begin().await?;
    world.deny("dispatch-job", "sqs:SendMessage", "*")?;
    let execution = world.start(JOB, &command()).await?;
    world.has_met(&execution, "NotVisibleYet").await?;
    world.lift();
    let course = world.course(JOB).await?;
    course.result()?;
    assert_eq!(course.starts_and_launches(), (1, 1));
    assert!(refusals(&course.events).all(|refusal| refusal.error == "NotVisibleYet"));
    world.finish().await
}

async fn tags_never_seen() -> Result<()> {
    let mut world = scene().begin().await?;
    world.deny("dispatch-job", "sqs:SendMessage", "*")?;
    world.start(JOB, &command()).await?;
    let course = world.course(JOB).await?;
    let failure = course.failure(Class::AccessDenied, Some(1))?;
    for words in ["could not put the order in the job's mailbox", "sqs:SendMessage"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    world.finish().await
}

/// So many calls of a run as the SDK makes before it gives up, and more.
const CALLS: usize = 6;

/// EC2 refuses all calls of the first run of each of these.
async fn throttled() -> Result<()> {
    let functions = ["create-endpoints", "create-nat-gateway"];
    let all = functions.iter().flat_map(|function| {
        (0..CALLS).map(move |call| faults::Fault {
            at: Place { function: (*function).to_owned(), visit: 0, call: Some(call) },
            what: What::Throttled,
        })
    });
    let mut world = scene().faults(all).begin().await?;
    world.start(JOB, &private()).await?;
    let course = world.course(JOB).await?;
    course.result()?;
    for state in ["CreateEndpoints", "CreateNatGateway"] {
        let tries = refusals(&course.events).filter(|refusal| refusal.state == state);
        assert_eq!(tries.map(|refusal| refusal.error).collect::<Vec<_>>(), ["Unavailable"], "{state}");
    }
    world.finish().await
}
