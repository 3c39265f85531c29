//! Every sample is what it says it is.

use mayfly_model::job::{JobDocument, Limits};
use mayfly_model::plan::Plan;
use serde_json::Value;

use crate::project::{entries, functions, json};

#[test]
fn every_function_has_a_sample() {
    let samples = entries("events");
    let missing: Vec<_> =
        functions().into_iter().map(|name| name + ".json").filter(|name| !samples.contains(name)).collect();
    assert!(missing.is_empty(), "events/ lacks the functions' inputs {missing:?}");
}

#[test]
fn every_sample_belongs_to_a_function_or_to_run_job() {
    let functions = functions();
    for sample in entries("events") {
        let owner = sample.split('.').next().unwrap_or_default();
        assert!(
            functions.contains(owner) || owner == "run-job" || is_plan(&sample),
            "events/{sample}: nothing is called {owner}; name the sample like the function that takes it"
        );
        json(&format!("events/{sample}"));
    }
}

#[test]
fn every_job_is_accepted_unless_its_name_says_invalid() {
    let submission = json("events/plan-job.json");
    let document = submission.get("document").expect("events/plan-job.json holds a document");
    check_job("plan-job.json", document);
    let is_job = |name: &&String| name.starts_with("run-job") && !name.ends_with(".faults.json");
    for sample in entries("events").iter().filter(is_job) {
        check_job(sample, &filled(&json(&format!("events/{sample}"))));
    }
}

/// A secret that jobs may name, and a parameter.
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:sample-AbCdEf";
const PARAMETER: &str = "arn:aws:ssm:eu-central-1:123456789012:parameter/sample";

/// The sample with ids in the places of the stack's own.
fn filled(sample: &Value) -> Value {
    let ids = [
        ("${SUBNET}", "subnet-0a1b2c3d"),
        ("${SECURITY_GROUP}", "sg-0a1b2c3d"),
        ("${SECRET_ARN}", SECRET),
        ("${PARAMETER_ARN}", PARAMETER),
    ];
    let text = ids.iter().fold(sample.to_string(), |text, (name, id)| text.replace(name, id));
    serde_json::from_str(&text).expect("an id is no JSON of its own")
}

fn check_job(sample: &str, document: &Value) {
    let any = vec!["*".to_owned()];
    let limits = Limits {
        buckets: vec!["mayfly-data".to_owned()],
        subnets: any.clone(),
        security_groups: any,
        secrets: [SECRET, PARAMETER].map(str::to_owned).into(),
        ..Limits::default()
    };
    let job = JobDocument::parse(&document.to_string(), &limits);
    match (job, sample.contains("invalid")) {
        (Ok(_), false) | (Err(_), true) => {}
        (Ok(_), true) => panic!("events/{sample}: the job is valid; say so in the name"),
        (Err(error), false) => panic!("events/{sample}: {error}"),
    }
}

#[test]
fn a_plan_is_the_whole_plan_and_nothing_else() {
    let plans: Vec<_> = entries("events").into_iter().filter(|name| is_plan(name)).collect();
    assert!(!plans.is_empty(), "events/ has no plan");
    for file in plans {
        let given = json(&format!("events/{file}"));
        let plan: Plan =
            serde_json::from_value(given.clone()).unwrap_or_else(|error| panic!("events/{file}: {error}"));
        let whole = serde_json::to_value(plan).expect("a plan is JSON");
        assert_eq!(given, whole, "events/{file}: write the plan (left) as plan-job does (right)");
    }
}

/// A change of the plan is a change of one file for each network mode.
#[test]
fn a_function_s_sample_refers_to_a_plan_instead_of_repeating_it() {
    let mut references = 0;
    for function in functions() {
        let sample = json(&format!("events/{function}.json"));
        for part in ["plan", "network"].into_iter().filter_map(|part| sample.get(part)) {
            let file = part["$ref"].as_str().and_then(|reference| reference.split('#').next());
            assert!(
                file.is_some_and(is_plan),
                "events/{function}.json: write {{ \"$ref\": \"plan.MODE.json\" }}, with `#/MEMBER` for a part, not {part:#}"
            );
            references += 1;
        }
    }
    assert!(references > 0, "no function's sample has a plan");
}

fn is_plan(file: &str) -> bool {
    file.starts_with("plan.")
}
