//! What cannot run is refused before anything is created. What is said of which document is in
//! `tests/simulation/simulate/refused.rs`.

use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use mayfly_model::class::Class;
use mayfly_model::inventory::Receipt;

use crate::support::harness::Harness;
use crate::support::history::states_entered;
use crate::support::world::{self, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_document_that_cannot_run_is_refused_before_anything_is_created", refused)]
}

async fn refused(world: Arc<World>, job: String) -> Result<()> {
    let execution = world.run_job(&job, &world::sample("run-job.invalid.json")?).await?;
    assert_eq!((execution.status(), execution.error()), (&ExecutionStatus::Failed, Some("InvalidJob")));
    let outcome = world::outcome(&execution)?;
    let failure = outcome.end.failure().context("a failure has a reason")?;
    let words = "container.cpu: given 1000; allowed: one of 256, 512, 1024, 2048, 4096, 8192, 16384, 32768";
    assert_eq!((failure.error, failure.message.as_str()), (Class::InvalidJob, words));
    assert_eq!(outcome.receipt, Receipt::default());
    let events = world.history(execution.execution_arn()).await?;
    let entered: Vec<_> = states_entered(&events).collect();
    assert_eq!(entered, ["AcceptJob", "PlanJob", "ConcludeJob", "DecideStatus", "JobFailed"]);
    // The teardown that a rule starts may be looking already.
    let looks = |action: &str| {
        ["states:", "ec2:Describe", "ecs:Describe", "ecs:List"].iter().any(|look| action.starts_with(look))
    };
    let mut changes = world.calls(&job);
    changes.retain(|call| !looks(&call.action));
    assert!(changes.is_empty(), "{changes:#?}");
    Ok(())
}
