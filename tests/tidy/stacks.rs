//! Two stacks of the template can be deployed side by side, in one account and Region.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::project::{json, path, resources, template};

/// Reads a template on standard input and writes what CloudFormation makes of it.
const TRANSFORM: &str = "\
import json, sys
from samtranslator.translator.transform import transform
class NoManagedPolicies:
    def load(self): return {}
json.dump(transform(json.load(sys.stdin), {}, NoManagedPolicies()), sys.stdout)
";

/// Names that need to be unique in something of the stack's own only.
const INNER_NAMES: [(&str, &str, &str); 1] = [("AWS::IAM::Policy", "PolicyName", "in its role")];

#[test]
fn every_physical_name_has_the_stack_s_name_in_it() {
    let transformed = transformed();
    let all = transformed["Resources"].as_object().expect("the transformed template has Resources");
    let mut names = 0;
    for (id, resource) in all {
        let kind = resource["Type"].as_str().unwrap_or_default();
        for (property, value) in resource["Properties"].as_object().into_iter().flatten() {
            // A reference is to what the stack itself has.
            let is_name = property.ends_with("Name") && value.get("Ref").is_none();
            if !is_name || INNER_NAMES.iter().any(|(of, name, _)| (*of, *name) == (kind, property)) {
                continue;
            }
            names += 1;
            assert!(
                value["Fn::Sub"].as_str().is_some_and(|name| name.contains("${AWS::StackName}")),
                "template.yaml: {id} ({kind}): {property} is {value}, which a second stack in the Region cannot have \
                 too: leave it out (OmitName: true, where SAM makes it), or put ${{AWS::StackName}} into it"
            );
        }
    }
    assert!(names >= 4, "the two machines and the two log groups have names");
}

/// The simulation has no SAM: it deploys what was written here. `make transform` writes it anew.
#[test]
fn the_simulation_has_the_template_as_it_is_now() {
    const FILE: &str = "tests/simulation/template.json";
    let transformed = transformed();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let text = serde_json::to_string_pretty(&transformed).expect("JSON");
        std::fs::write(path(FILE), text + "\n").expect("it can be written");
    }
    assert!(json(FILE) == transformed, "{FILE} is not what SAM makes of template.yaml; run `make transform`");
}

/// As CloudFormation names what has no name: the stack, the logical id, and a random end.
#[test]
fn the_sample_of_the_schedule_s_event_is_of_a_schedule_as_cloud_formation_names_it() {
    let transformed = transformed();
    let schedules: Vec<_> = resources(&transformed, "AWS::Scheduler::Schedule").map(|(id, _)| id).collect();
    let [schedule] = schedules[..] else { panic!("one schedule: {schedules:?}") };
    let sample = json("events/sweep-expired.json");
    let arn = sample["resources"][0].as_str().unwrap_or_default();
    assert!(
        arn.contains(&format!(":schedule/default/mayfly-{schedule}-")),
        "events/sweep-expired.json: {arn}"
    );
}

/// The template as SAM hands it to CloudFormation.
fn transformed() -> Value {
    let mut template = template();
    let resources = template["Resources"].as_object_mut().expect("template.yaml has Resources");
    for properties in resources.values_mut().filter_map(|resource| resource.get_mut("Properties")) {
        // Where `sam deploy` has uploaded them to.
        for property in ["CodeUri", "DefinitionUri"] {
            if let Some(uri) = properties.get_mut(property) {
                *uri = json!("s3://bucket/key");
            }
        }
    }
    let tools = std::env::var_os("MAYFLY_TOOLS").expect("MAYFLY_TOOLS is set by `make test`");
    let mut transform = Command::new(PathBuf::from(tools).join("python"))
        .args(["-c", TRANSFORM])
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("MAYFLY_TOOLS has Python, with aws-sam-translator");
    let mut input = transform.stdin.take().expect("it is piped");
    input.write_all(template.to_string().as_bytes()).expect("it reads the template");
    drop(input);
    let output = transform.wait_with_output().expect("it ends");
    assert!(output.status.success(), "aws-sam-translator refuses template.yaml");
    serde_json::from_slice(&output.stdout).expect("it writes JSON")
}
