//! What AWS is slow to delete, or lists when it is gone, holds up no teardown and deceives no proof.

use anyhow::Result;
use local_ec2::Fault;
use local_ecs::Rule;
use mayfly_simulation::account::JOB;
use mayfly_simulation::circumstance::Circumstance;

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::documents::{command, private};
use crate::support::history::{refusals, states_entered};
use crate::support::made::Made;
use crate::support::world::scene;

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("what_aws_is_slow_to_delete_is_waited_for", slow_to_delete),
        behaviour("what_is_deleted_and_still_listed_is_not_called_gone", still_listed),
        behaviour("what_the_first_proof_does_not_see_the_second_does", first_proof),
        behaviour("a_queue_that_answers_after_its_deletion_costs_no_round", queue_that_answers),
    ]
}

/// The service has deployments for a while, and the container's network interface outlasts even the NAT gateway.
async fn slow_to_delete() -> Result<()> {
    let scene = scene()
        .tasks([Rule::once(local_ecs::Fault::DeploymentsActive { times: 2 })])
        .around([Circumstance::Networks(Fault::InterfaceLingers { seconds: 150 })]);
    let course = scene.run(&private()).await?;
    course.result()?;
    let met = |state: &str, words: &str| {
        let of_state = refusals(&course.teardown).filter(|refusal| refusal.state == state);
        of_state.filter(|refusal| refusal.error == "StillInUse" && refusal.cause.contains(words)).count()
    };
    assert_eq!(met("DeleteService", "deployments are active"), 2);
    // The subnets and the VPC, which it would hold as well, come after the group.
    assert!(met("DeleteSecurityGroups", "DependencyViolation") > 0);
    Ok(())
}

/// The search after the first round finds what is no longer there, and there is another round.
async fn still_listed() -> Result<()> {
    let scene = scene().around([Circumstance::Networks(Fault::Lingers { seconds: 20 })]);
    let course = scene.run(&private()).await?;
    course.result()?;
    let rounds = states_entered(&course.teardown).filter(|state| *state == "DeleteVpc").count();
    assert!(rounds > 1, "{rounds}");
    Ok(())
}

/// Something appears when the first proof has been taken, as if AWS's lists had been behind.
async fn first_proof() -> Result<()> {
    let mut world = scene().begin().await?;
    world.start(JOB, &command()).await?;
    let teardown = world.teardown(JOB).await?;
    world.entered(&teardown, "AwaitSecondSearch").await?;
    let mut made = Made::nothing(&world);
    made.tag(&mut world, JOB);
    let address = made.address().await?;
    let receipt = world.course(JOB).await?.outcome.receipt;
    assert!(receipt.created.iter().any(|created| created.id == address), "{receipt:#?}");
    world.finish().await
}

/// SQS goes on listing the mailbox for a while.
/// Source: SQS API Reference, `DeleteQueue`: calls may succeed for up to 60 seconds.
async fn queue_that_answers() -> Result<()> {
    let mut world = scene().begin().await?;
    world.start(JOB, &command()).await?;
    let course = world.course(JOB).await?;
    let still: Vec<_> = world.run.left().await?.into_iter().collect();
    let [still] = &still[..] else { panic!("the mailbox alone is still there: {still:#?}") };
    let receipt = &course.outcome.receipt;
    assert!(receipt.deleted.iter().any(|deleted| still.ends_with(&deleted.id)), "{still}: {receipt:#?}");
    let searches = states_entered(&course.teardown).filter(|state| *state == "FindLeftovers").count();
    assert_eq!(searches, 3, "one round and its two proofs");
    world.finish().await
}
