//! Every file in events/ is executed: the jobs by the other tests, the functions' samples here, through Lambda.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::sweep;
use crate::support::world::{self, World, repository, until};

/// The job of all samples.
const JOB: &str = "sample";

/// The functions in an order in which each finds what its sample names, and what each says for as long as it is to be
/// called again.
const FUNCTIONS: &[(&str, Option<&str>)] = &[
    ("plan-job", None),
    ("create-queue", None),
    ("dispatch-job", None),
    // Its nonce is none that dispatch-job has given out, so the report is dropped.
    ("handle-report", None),
    ("collect-result", None),
    // Now the order is gone, and no container takes it on.
    ("delete-queue", None),
    ("create-vpc", None),
    ("check-ipv6-block", Some("BlockPending")),
    ("enable-dns-hostnames", None),
    ("create-egress-only-internet-gateway", None),
    ("create-internet-gateway", None),
    ("attach-internet-gateway", None),
    ("create-subnet", None),
    ("create-route-table", None),
    ("associate-route-table", None),
    ("create-route", None),
    ("create-security-group", None),
    ("authorize-ingress", None),
    ("create-endpoints", Some("Unavailable")),
    ("check-endpoints", Some("EndpointsPending")),
    ("allocate-address", None),
    ("create-nat-gateway", None),
    ("check-nat-gateway", Some("NatPending")),
    ("create-target-groups", None),
    ("create-load-balancer", None),
    ("create-listeners", None),
    // Of the load balancer alone: no service has put a container behind it.
    ("check-load-balancer", Some("LoadBalancerPending")),
    ("create-cluster", None),
    ("register-task", None),
    ("create-service", None),
    ("find-task", Some("TaskStarting")),
    ("check-service", Some("ServiceStarting")),
    // Of the work that dispatch-job has given out; what follows is of a service.
    ("handle-stopped-task", None),
    ("handle-running-task", None),
    ("begin-service", None),
    ("keep-service", None),
    ("extend-service", None),
    ("end-service", None),
    ("stop-execution", None),
    ("find-leftovers", None),
    ("delete-service", Some("StillInUse")),
    ("delete-task", None),
    ("abort-uploads", None),
    ("delete-cluster", Some("StillInUse")),
    ("delete-nat-gateway", Some("StillInUse")),
    ("delete-endpoints", Some("StillInUse")),
    ("delete-load-balancer", Some("StillInUse")),
    ("delete-target-groups", Some("StillInUse")),
    ("release-address", Some("StillInUse")),
    ("delete-internet-gateway", None),
    ("delete-egress-only-internet-gateway", None),
    ("delete-security-groups", None),
    ("delete-route-tables", None),
    ("delete-subnets", None),
    ("delete-vpc", None),
    ("conclude-job", None),
    ("sweep-expired", None),
];

/// The one that refuses its sample: there was never an execution of the samples' job.
const REFUSES: &str = "extend-service";

/// What the names of functions begin with that make or connect something.
const MAKERS: [&str; 5] = ["allocate-", "associate-", "attach-", "authorize-", "create-"];

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_in_turn("every_sample_of_a_function_ends_as_documented", sweep::turn, functions),
        harness.trial("every_sample_of_a_job_is_in_a_test", jobs),
    ]
}

async fn functions(world: Arc<World>, _: String, _turn: sweep::Turn) -> Result<()> {
    let folders = names_in("functions", "")?;
    let listed: BTreeSet<_> = FUNCTIONS.iter().map(|(function, _)| (*function).to_owned()).collect();
    assert_eq!(folders, listed, "the folders of functions/, and the functions of this test");

    let mut values = stack_values(&world).await?;
    for &(function, waiting) in FUNCTIONS {
        let payload = filled(&world::sample(&format!("{function}.json"))?, &values);
        if function == REFUSES {
            let refused = world.invoke(&world.function(function).await?, &payload).await?.unwrap_err();
            assert_eq!(refused["errorType"], "InvalidJob", "{refused:#}");
            continue;
        }
        let answer = ended(&world, function, &payload, waiting).await?;
        if MAKERS.iter().any(|verb| function.starts_with(verb)) {
            let again = ended(&world, function, &payload, None).await?;
            assert_eq!(
                again, answer,
                "{function}: a retry after a lost answer finds what the first try made"
            );
        }
        values.extend(answered(&answer));
    }
    world.tear_down(JOB).await?;
    world.nothing_left(JOB).await
}

/// Invokes the function until it ends well, and says how.
async fn ended(world: &World, function: &str, payload: &str, waiting: Option<&str>) -> Result<Value> {
    let name = world.function(function).await?;
    until(&format!("{function} to end well"), async || {
        let invoked = world.invoke(&name, payload).await.with_context(|| function.to_owned())?;
        let waits = |failed: &Value| {
            let error = failed["errorType"].as_str();
            assert!(error.is_some() && error == waiting, "{function}: {failed:#}");
        };
        Ok(invoked.inspect_err(waits).ok())
    })
    .await
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
async fn stack_values(world: &World) -> Result<HashMap<String, String>> {
    let mut settings = world.settings("plan-job").await?;
    let mut setting = |name: &str| settings.remove(name).with_context(|| format!("plan-job has no {name}"));
    let zones = setting("AVAILABILITY_ZONES")?;
    let (first, second) = zones.split_once(',').context("plan-job has two zones")?;
    let before =
        |text: String, end: char| text.rsplit_once(end).map_or(text.clone(), |(start, _)| start.into());
    let values = [
        ("QUEUES", before(setting("DONE_QUEUE_URL")?, '/')),
        ("CLUSTER_ARN", setting("CLUSTER_ARN")?),
        ("SUBNET", before(setting("SUBNETS")?, ',')),
        ("SECURITY_GROUP", setting("SECURITY_GROUP")?),
        ("DEFAULT_IMAGE", setting("DEFAULT_IMAGE")?),
        ("WORKER_IMAGE", setting("WORKER_IMAGE")?),
        ("AVAILABILITY_ZONE", first.to_owned()),
        ("SECOND_AVAILABILITY_ZONE", second.to_owned()),
    ];
    Ok(values.map(|(name, value)| (name.to_owned(), value)).into())
}

/// What a function answers stands in the samples of the next: its `vpcId` is their `${VPC_ID}`, and the `arn` of the first of
/// its `targetGroups` their `${TARGET_GROUPS_ARN}`.
fn answered(answer: &Value) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (name, value) in answer.as_object().into_iter().flatten() {
        values.extend(value.as_str().map(|text| (placeholder(name), text.to_owned())));
        let first = value.get(0).map(answered).unwrap_or_default();
        values
            .extend(first.into_iter().map(|(field, text)| (format!("{}_{field}", placeholder(name)), text)));
    }
    values
}

fn placeholder(name: &str) -> String {
    let words = |letter: char| letter.is_uppercase().then_some('_').into_iter().chain([letter]);
    name.chars().flat_map(words).collect::<String>().to_uppercase()
}

fn filled(sample: &Value, values: &HashMap<String, String>) -> String {
    let fill = |text: String, (name, value): (&String, &String)| text.replace(&format!("${{{name}}}"), value);
    values.iter().fold(sample.to_string(), fill)
}

/// The names in a folder of the repository that end like this, without the ending.
fn names_in(folder: &str, ending: &str) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(repository().join(folder))?.collect::<Result<Vec<_>, _>>()?;
    let names = entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect())
}
