//! What AWS is slow to delete, or lists when it is gone, holds up no teardown and deceives no proof.

use std::sync::Arc;

use anyhow::{Result, bail};
use libtest_mimic::Trial;
use local_ec2::Fault;
use local_ecs::Rule;
use mayfly_model::names::Names;
use mayfly_model::tags;

use crate::support::course;
use crate::support::documents::{command, private};
use crate::support::harness::Harness;
use crate::support::history::{refusals, states_entered};
use crate::support::made::Made;
use crate::support::world::{self, STACK, World, job_arn, nested_arn, until};

/// The second search may have begun before there is something to find; another job then tries again.
const TRIES: usize = 10;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("what_aws_is_slow_to_delete_is_waited_for", slow_to_delete),
        harness.trial("what_is_deleted_and_still_listed_is_not_called_gone", still_listed),
        harness.trial("what_the_first_proof_does_not_see_the_second_does", first_proof),
        harness.trial("a_queue_that_answers_after_its_deletion_costs_no_round", queue_that_answers),
    ]
}

/// The service has deployments for a while, and the container's network interface outlasts even the NAT gateway.
async fn slow_to_delete(world: Arc<World>, job: String) -> Result<()> {
    world.cloud().ecs_faults().add(&job, [Rule::once(local_ecs::Fault::DeploymentsActive { times: 2 })]);
    world.cloud().ec2_faults().add(&job, Fault::InterfaceLingers { seconds: 150 });
    world.start_job(&job, &private(&["true"])).await?;
    course::of(&world, &job).await?.result()?;
    let events = world.history(&nested_arn(&job)).await?;
    let met = |state: &str, words: &str| {
        let of_state = refusals(&events).filter(|refusal| refusal.state == state);
        of_state.filter(|refusal| refusal.error == "StillInUse" && refusal.cause.contains(words)).count()
    };
    assert_eq!(met("DeleteService", "deployments are active"), 2);
    // The subnets and the VPC, which it would hold as well, come after the group.
    assert!(met("DeleteSecurityGroups", "DependencyViolation") > 0);
    Ok(())
}

/// The search after the first round finds what is no longer there, and there is another round.
async fn still_listed(world: Arc<World>, job: String) -> Result<()> {
    world.cloud().ec2_faults().add(&job, Fault::Lingers { seconds: 20 });
    world.start_job(&job, &private(&["true"])).await?;
    course::of(&world, &job).await?.result()?;
    let events = world.history(&nested_arn(&job)).await?;
    let rounds = states_entered(&events).filter(|state| *state == "DeleteVpc").count();
    assert!(rounds > 1, "{rounds}");
    Ok(())
}

/// Something appears when the first proof has been taken, as if AWS's lists had been behind.
async fn first_proof(world: Arc<World>, base: String) -> Result<()> {
    for n in 1..=TRIES {
        let job = format!("{base}-{n}");
        let arn = world.start_job(&job, &command(&["true"])).await?;
        if !world.entered(&nested_arn(&job), "AwaitSecondSearch").await? {
            continue;
        }
        let mut made = Made::nothing(&world);
        made.tag(&[(tags::STACK, STACK), (tags::JOB, &job)]);
        let address = made.address().await?;
        let receipt = world::outcome(&world.ended(&arn).await?)?.receipt;
        if receipt.created.iter().any(|created| created.id == address) {
            assert_eq!((receipt.deleted, receipt.residual), (receipt.created, vec![]));
            return world.nothing_left(&job).await;
        }
        made.remove().await?;
    }
    bail!("{TRIES} teardowns have found nothing after their first proof")
}

/// MiniStack's queue is gone at once, so it is put back until the teardown is over.
/// Source: SQS API Reference, `DeleteQueue`: calls may succeed for up to 60 seconds.
async fn queue_that_answers(world: Arc<World>, job: String) -> Result<()> {
    world.start_job(&job, &command(&["true"])).await?;
    let prefix = Names::new(STACK, &job).mailbox_prefix();
    let list = async || {
        let listed = world.sqs.list_queues().queue_name_prefix(&prefix).send().await?;
        anyhow::Ok(listed.queue_urls.unwrap_or_default().pop())
    };
    let url = until(&format!("the mailbox of {job}"), &list).await?;
    let tags = world.sqs.list_queue_tags().queue_url(&url).send().await?.tags;
    until(&format!("the deletion of {url}"), async || Ok(list().await?.is_none().then_some(()))).await?;
    let name = url.rsplit('/').next().unwrap_or_default();
    world.sqs.create_queue().queue_name(name).set_tags(tags).send().await?;

    let receipt = world::outcome(&world.ended(&job_arn(&job)).await?)?.receipt;
    world.sqs.delete_queue().queue_url(&url).send().await?;
    assert_eq!((&receipt.deleted, &receipt.residual[..]), (&receipt.created, &[][..]));
    assert!(receipt.created.iter().any(|created| created.id == url), "{receipt:#?}");
    let events = world.history(&nested_arn(&job)).await?;
    let searches = states_entered(&events).filter(|state| *state == "FindLeftovers").count();
    assert_eq!(searches, 3, "one round and its two proofs");
    world.nothing_left(&job).await
}
