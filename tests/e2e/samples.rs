//! Every file in events/ is executed: the jobs by the other tests, the functions' samples here, through Lambda.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_lambda::primitives::Blob;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::harness::Harness;
use crate::swept;
use crate::world::{self, World, repository};

/// The job of all samples.
const JOB: &str = "sample";

/// The functions in an order in which each finds what its sample names, and what each ends with: nothing to complain
/// about, or this error.
const FUNCTIONS: [(&str, Option<&str>); 15] = [
    ("plan-job", None),
    ("create-queue", None),
    ("dispatch-job", None),
    // Its nonce is none that dispatch-job has given out, so the report is dropped.
    ("handle-report", None),
    ("collect-result", None),
    // Now the order is gone, and no container takes it on.
    ("delete-queue", None),
    ("register-task", None),
    ("create-service", None),
    ("find-task", Some("TaskStarting")),
    ("handle-stopped-task", None),
    ("find-leftovers", None),
    ("delete-service", Some("StillInUse")),
    ("delete-task", None),
    ("conclude-job", None),
    ("sweep-expired", None),
];

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("every_sample_of_a_function_ends_as_documented", functions),
        harness.trial("every_sample_of_a_job_is_in_a_test", jobs),
    ]
}

async fn functions(world: Arc<World>, _: String) -> Result<()> {
    let _turn = swept::TURN.lock().await;
    let folders = names_in("functions", "")?;
    let listed: BTreeSet<_> = FUNCTIONS.iter().map(|(function, _)| (*function).to_owned()).collect();
    assert_eq!(folders, listed, "the folders of functions/, and the functions of this test");

    let stack = stack_values(&world).await?;
    for (function, error) in FUNCTIONS {
        let payload = filled(&world::sample(&format!("{function}.json"))?, &stack);
        let invoke = world.lambda.invoke().function_name(world.function(function).await?);
        let invoked = invoke.payload(Blob::new(payload)).send().await.with_context(|| function.to_owned())?;
        let answer: Value = serde_json::from_slice(invoked.payload().map(Blob::as_ref).unwrap_or_default())?;
        let failed = invoked.function_error().and_then(|_| answer["errorType"].as_str());
        assert_eq!(failed, error, "{function}: {answer:#}");
    }
    world.tear_down(JOB).await?;
    world.nothing_left(JOB).await
}

async fn jobs(_: Arc<World>, _: String) -> Result<()> {
    let mut tests = String::new();
    for file in names_in("tests/e2e", ".rs")? {
        tests += &std::fs::read_to_string(repository().join(format!("tests/e2e/{file}.rs")))?;
    }
    let jobs = names_in("events", ".json")?.into_iter().filter(|name| name.starts_with("run-job"));
    // What goes wrong with a job is no job.
    for job in jobs.filter(|name| !name.ends_with(".faults")) {
        assert!(tests.contains(&format!("sample(\"{job}.json\")")), "no test executes events/{job}.json");
    }
    Ok(())
}

/// What stands in samples as `${NAME}`, because every deployment of the stack has its own.
async fn stack_values(world: &World) -> Result<HashMap<&'static str, String>> {
    let mut settings = world.settings("plan-job").await?;
    let mut setting = |name: &str| settings.remove(name).with_context(|| format!("plan-job has no {name}"));
    let before =
        |text: String, end: char| text.rsplit_once(end).map_or(text.clone(), |(start, _)| start.into());
    Ok(HashMap::from([
        ("QUEUES", before(setting("DONE_QUEUE_URL")?, '/')),
        ("CLUSTER_ARN", setting("CLUSTER_ARN")?),
        ("SUBNET", before(setting("SUBNETS")?, ',')),
        ("SECURITY_GROUP", setting("SECURITY_GROUP")?),
        ("DEFAULT_IMAGE", setting("DEFAULT_IMAGE")?),
    ]))
}

fn filled(sample: &Value, values: &HashMap<&str, String>) -> String {
    let fill = |text: String, (name, value): (&&str, &String)| text.replace(&format!("${{{name}}}"), value);
    values.iter().fold(sample.to_string(), fill)
}

/// The names in a folder of the repository that end like this, without the ending.
fn names_in(folder: &str, ending: &str) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(repository().join(folder))?.collect::<Result<Vec<_>, _>>()?;
    let names = entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect())
}
