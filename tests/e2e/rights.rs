//! Least privilege, proven: every right of every role is taken away in turn, and what needs it fails with AWS's word
//! that names it. On a stack of its own, so that no other test is disturbed.

mod containers; // what the container's two roles are for
mod functions; // what each function's role, and the role that signs URLs, is for
mod machines; // what the roles of machines, rules and schedules are for
mod network; // a network of a job's own, and what the roles are for that make it
mod services; // what the roles are for of the functions that only a service has
mod stack; // the stack whose roles are changed
mod strangers; // two stacks in one account never touch each other
mod uploads; // what the rights to uploads in parts are for

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::try_join;

use crate::rights::stack::{IMAGES, NAME, PREFIXES, Stack};
use crate::support::harness::Harness;
use crate::support::world::{self, World, repository};

/// What was proven, by role; made by this test.
const PROVEN: &str = "tests/e2e/rights/proven.json";
/// What is granted all the same, and who says that AWS needs it; made by hand.
const IMPLIED: &str = "tests/e2e/rights/implied.json";
/// Set to anything, it makes the test write [`PROVEN`] instead of comparing it.
const RECORD: &str = "MAYFLY_RECORD_RIGHTS";

/// Actions by the role's logical id.
type Rights = BTreeMap<String, BTreeSet<String>>;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    // One test at a time uses the stack; the first one deploys it.
    let shared = Arc::new(Mutex::new(None));
    let (also_shared, shared_too) = (shared.clone(), shared.clone());
    vec![
        harness.trial_in_turn(
            "two_stacks_never_touch_each_other",
            || shared.lock_owned(),
            |world, job, mut shared| async move {
                strangers::meet(deployed(&mut shared, &world).await?, &job).await
            },
        ),
        harness.trial_in_turn(
            "jobs_and_roles_reach_no_further_than_the_stacks_parameters",
            || shared_too.lock_owned(),
            |world, _, mut shared| async move {
                no_further(deployed(&mut shared, &world).await?, &world).await
            },
        ),
        harness.trial_in_turn(
            "every_granted_right_is_needed",
            || also_shared.lock_owned(),
            |world, _, mut shared| async move {
                Box::pin(every_right(deployed(&mut shared, &world).await?)).await
            },
        ),
    ]
}

async fn deployed<'a>(shared: &'a mut Option<Stack>, world: &Arc<World>) -> Result<&'a Stack> {
    if shared.is_none() {
        *shared = Some(Stack::deploy(world.clone()).await?);
    }
    shared.as_ref().context("the stack has just been deployed")
}

async fn no_further(stack: &Stack, world: &World) -> Result<()> {
    let keys: BTreeSet<_> = PREFIXES.map(|prefix| format!("arn:aws:s3:::{prefix}*")).into();
    let data = stack.granted_to("DataRole");
    assert_eq!((&data["s3:GetObject"], &data["s3:PutObject"]), (&keys, &keys));
    let images = &stack.granted_to("ExecutionRole")["ecr:BatchGetImage"];
    let has = |end: &str| images.iter().any(|arn| arn.ends_with(end));
    assert!(
        images.len() == 2 && has(&format!(":repository/{IMAGES}")),
        "the stack's own and these: {images:?}"
    );
    assert!(!has(":repository/*"), "{images:?}");

    let plan_job = world.function_of(NAME, "plan-job").await?;
    let refusals = [
        (
            json!({ "task": { "command": ["true"], "inputs": [{ "file": "a", "from": "s3://mayfly-data/b" }] } }),
            "DataPrefixes",
        ),
        (json!({ "task": { "command": ["true"] }, "container": { "image": "tools/evil" } }), "AllowedImages"),
    ];
    for (document, parameter) in refusals {
        let mut submission = world::sample("plan-job.json")?;
        submission["document"] = document;
        let (Ok(answer) | Err(answer)) = world.invoke(&plan_job, submission).await?;
        assert_eq!(answer["errorType"], "InvalidJob", "{answer}");
        assert!(
            answer["errorMessage"].as_str().is_some_and(|message| message.contains(parameter)),
            "{answer}"
        );
    }
    Ok(())
}

async fn every_right(stack: &Stack) -> Result<()> {
    let mut proven = machines::may_make_their_rule(stack).await?;
    proven.extend(functions::prove(stack).await?);
    for (role, actions) in services::prove(stack).await? {
        proven.entry(role).or_default().extend(actions);
    }
    let (of_containers, of_sweeper, of_teardown) = try_join!(
        containers::prove(stack),
        functions::prove_sweeper(stack),
        machines::may_tell_of_leftovers(stack)
    )?;
    proven.extend(of_containers.into_iter().chain(of_sweeper).chain(of_teardown));
    for (role, actions) in machines::prove(stack).await? {
        proven.entry(role).or_default().extend(actions);
    }
    stack.nothing_left().await?;
    compare(&stack.granted(), &proven)
}

/// Each granted right is proven, or implied by AWS; and the record says the same.
fn compare(granted: &Rights, proven: &Rights) -> Result<()> {
    let path = repository().join(PROVEN);
    if std::env::var_os(RECORD).is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(proven)? + "\n")?;
    }
    let recorded: Rights = serde_json::from_str(&std::fs::read_to_string(&path)?).context(PROVEN)?;
    ensure!(
        *proven == recorded,
        "{PROVEN} is not what this test has seen: {proven:#?}\nif that is right, run it once with {RECORD}=1"
    );
    let implied = std::fs::read_to_string(repository().join(IMPLIED))?;
    let implied: BTreeMap<String, BTreeMap<String, serde_json::Value>> =
        serde_json::from_str(&implied).context(IMPLIED)?;
    for (role, actions) in granted {
        let proven = proven.get(role).into_iter().flatten();
        let implied = implied.get(role).into_iter().flat_map(BTreeMap::keys);
        let accounted: Vec<_> = proven.chain(implied).collect();
        for action in actions {
            ensure!(
                accounted.contains(&action),
                "{role} has {action}, and nothing fails without it: take it away in template.yaml, or say in \
                 {IMPLIED} why AWS needs it"
            );
        }
        ensure!(
            accounted.len() == actions.len(),
            "{role} has {actions:?}, but proven or implied are {accounted:?}: drop from {IMPLIED} what is not granted \
             or is proven"
        );
    }
    Ok(())
}
