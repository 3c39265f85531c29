//! No role may do more than its work.
//!
//! What AWS can scope, and to what: Service Authorization Reference,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::project::{json, machines, read, resources, template};

/// The actions that AWS cannot scope to a resource: why, and the condition key that narrows them instead.
const UNSCOPED: &[(&str, &str, Option<&str>)] = &[
    ("ec2:DescribeAccountAttributes", "has no resource type", None),
    ("ec2:DescribeAddresses", "has no resource type", None),
    ("ec2:DescribeEgressOnlyInternetGateways", "has no resource type", None),
    ("ec2:DescribeInternetGateways", "has no resource type", None),
    ("ec2:DescribeNatGateways", "has no resource type", None),
    ("ec2:DescribeNetworkInterfaces", "has no resource type", None),
    ("ec2:DescribeRouteTables", "has no resource type", None),
    ("ec2:DescribeSecurityGroups", "has no resource type", None),
    ("ec2:DescribeSubnets", "has no resource type", None),
    ("ec2:DescribeVpcEndpoints", "has no resource type", None),
    ("ec2:DescribeVpcs", "has no resource type", None),
    ("ecr:GetAuthorizationToken", "has no resource type", None),
    ("ecs:DeregisterTaskDefinition", "has no resource type", None),
    ("ecs:DescribeTaskDefinition", "has no resource type", None),
    ("ecs:ListClusters", "has no resource type", None),
    ("ecs:ListServices", "has no resource type", Some("ecs:cluster")),
    ("ecs:ListTaskDefinitionFamilies", "has no resource type", None),
    ("ecs:ListTaskDefinitions", "has no resource type", None),
    (
        "ecs:ListTasks",
        "its one resource type is the container instance, and Fargate has none",
        Some("ecs:cluster"),
    ),
    ("elasticloadbalancing:DescribeLoadBalancers", "has no resource type", None),
    ("elasticloadbalancing:DescribeTags", "has no resource type", None),
    ("elasticloadbalancing:DescribeTargetGroups", "has no resource type", None),
    ("elasticloadbalancing:DescribeTargetHealth", "has no resource type", None),
    ("sqs:ListQueues", "has no resource type", None),
];

/// The creating actions that cannot be conditioned on a tag, and why.
const UNTAGGED_CREATIONS: [(&str, &str); 3] = [
    (
        "ec2:CreateSecurityGroup",
        "a service's group is in the VPC of a network that it joins, which has no tag of ours",
    ),
    ("logs:CreateLogStream", "a log stream has no tags"),
    ("route53:AssociateVPCWithHostedZone", "the hosted zone of an endpoint's names is AWS's own"),
];

#[test]
fn no_statement_uses_wildcards_for_actions() {
    for statement in statements(&template()) {
        for action in &statement.actions {
            let place = format!("template.yaml: {}", statement.owner);
            assert!(!action.contains(['*', '?']), "{place}: name the actions that {action} stands for");
        }
        for field in ["NotAction", "NotResource"] {
            let place = format!("template.yaml: {}", statement.owner);
            assert!(statement.body.get(field).is_none(), "{place}: say what is allowed instead of {field}");
        }
    }
}

#[test]
fn no_role_has_a_policy_with_full_access() {
    let template = template().to_string();
    let policy = Regex::new(r"\w*FullAccess\w*").expect("a regular expression").find(&template);
    assert!(policy.is_none(), "template.yaml: list the actions that are used of {policy:?}");
}

#[test]
fn all_resources_are_only_for_actions_that_aws_cannot_scope() {
    let mut used = BTreeSet::new();
    for statement in statements(&template()).iter().filter(|statement| statement.has_all_resources()) {
        for action in &statement.actions {
            let place = format!("template.yaml: {}: {action}", statement.owner);
            let Some((action, _, key)) = UNSCOPED.iter().find(|(unscoped, ..)| unscoped == action) else {
                panic!("{place}: name its resources, or the reason in UNSCOPED of {}", file!());
            };
            if let Some(key) = key {
                assert!(statement.is_conditioned_on(key), "{place}: narrow it by a condition on {key}");
            }
            used.insert(*action);
        }
    }
    let listed = UNSCOPED.iter().map(|(action, ..)| *action).collect::<BTreeSet<_>>();
    assert_eq!(used, listed, "drop from UNSCOPED of {} (right) what no statement (left) uses", file!());
}

#[test]
fn a_delete_is_for_what_bears_the_stack_s_tag_or_guard_duty_s() {
    let deletes = ["Delete", "Deregister", "Detach", "Disassociate", "Release", "Revoke", "Terminate"];
    for statement in statements(&template()).iter().filter(|statement| !statement.has_all_resources()) {
        // Deleting a message is how it is marked as read.
        for action in statement.actions_that(&deletes).filter(|action| *action != "sqs:DeleteMessage") {
            let is_guard_duty_s =
                &statement.body["Condition"]["StringEquals"]["aws:ResourceTag/GuardDutyManaged"];
            assert!(
                statement.demands_stack("aws:ResourceTag/mayfly:stack") || *is_guard_duty_s == "true",
                "template.yaml: {}: allow {action} on condition of aws:ResourceTag/mayfly:stack only",
                statement.owner
            );
        }
    }
}

/// Creating something in a VPC is a right on the VPC, too; connecting two things is a right on both.
#[test]
fn a_creation_is_for_what_gets_the_stack_s_tag_in_what_has_it() {
    let creations = ["Allocate", "Associate", "Attach", "Authorize", "Create", "Register", "Run", "Tag"];
    for statement in statements(&template()) {
        for action in statement.actions_that(&creations) {
            assert!(
                statement.demands_stack("aws:RequestTag/mayfly:stack")
                    || statement.demands_stack("aws:ResourceTag/mayfly:stack")
                    || UNTAGGED_CREATIONS.iter().any(|(untagged, _)| *untagged == action),
                "template.yaml: {}: allow {action} on condition of aws:RequestTag/mayfly:stack or \
                 aws:ResourceTag/mayfly:stack only, or give the reason in UNTAGGED_CREATIONS of {}",
                statement.owner,
                file!()
            );
        }
    }
}

#[test]
fn a_machine_may_invoke_exactly_its_own_functions() {
    let template = template();
    let statements = statements(&template);
    for machine in machines() {
        let invokes = |statement: &&Statement<'_>| {
            statement.owner == machine.id && statement.actions.contains(&"lambda:InvokeFunction")
        };
        let allowed: BTreeSet<_> =
            statements.iter().filter(invokes).flat_map(Statement::resources).map(Value::to_string).collect();
        let states = machine.states();
        let arns = states.iter().filter(|state| state.invokes());
        let arns = arns.map(|state| {
            let placeholder = state.fields["Parameters"]["FunctionName"].as_str().unwrap_or_default();
            let function = placeholder.trim_start_matches("${").trim_end_matches("Arn}");
            json!({ "Fn::GetAtt": [function, "Arn"] }).to_string()
        });
        assert_eq!(
            allowed,
            arns.collect(),
            "template.yaml: {} may invoke the functions on the left; {} needs those on the right",
            machine.id,
            machine.file
        );
    }
}

/// The end-to-end test sees each right being needed and keeps the record of it; here a change of the template that has
/// not been through that test is found without a cloud.
#[test]
fn every_right_was_proven_to_be_needed_or_is_implied_by_aws() {
    const PROVEN: &str = "tests/e2e/rights/proven.json";
    const IMPLIED: &str = "tests/e2e/rights/implied.json";
    let mut accounted: Rights =
        serde_json::from_value(json(PROVEN)).unwrap_or_else(|error| panic!("{PROVEN}: {error}"));
    let implied: BTreeMap<String, BTreeMap<String, Implied>> =
        serde_json::from_value(json(IMPLIED)).unwrap_or_else(|error| panic!("{IMPLIED}: {error}"));
    for (role, actions) in implied {
        for (action, Implied { by, source }) in actions {
            assert!(
                !by.is_empty() && !source.is_empty(),
                "{IMPLIED}: {role}: say who needs {action}, and AWS's page"
            );
            assert!(
                accounted.entry(role.clone()).or_default().insert(action.clone()),
                "{IMPLIED}: {role}: drop {action}, which {PROVEN} has"
            );
        }
    }
    assert_eq!(
        granted(&template()),
        accounted,
        "template.yaml grants the left; the end-to-end test has proven, or {IMPLIED} explains, the right. Run \
         every_granted_right_is_needed, which says what to do"
    );
}

/// Actions by the role's logical id.
type Rights = BTreeMap<String, BTreeSet<String>>;

/// A right that AWS needs without a call of ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Implied {
    by: String,
    source: String,
}

/// What each role may do, those that SAM makes included.
/// Source: SAM developer guide, "Generated AWS CloudFormation resources".
fn granted(template: &Value) -> Rights {
    let mut rights = Rights::new();
    for Statement { owner, actions, .. } in statements(template) {
        let resource = &template["Resources"][owner];
        let roles = match resource["Type"].as_str() {
            Some("AWS::IAM::Role") => vec![owner.to_owned()],
            Some("AWS::IAM::Policy") => {
                let roles = one_or_many(&resource["Properties"]["Roles"]).iter();
                roles.map(|role| role["Ref"].as_str().expect("a role by its logical id").to_owned()).collect()
            }
            _ => vec![format!("{owner}Role")],
        };
        for role in roles {
            rights.entry(role).or_default().extend(actions.iter().map(|action| (*action).to_owned()));
        }
    }
    for (function, resource) in resources(template, "AWS::Serverless::Function") {
        let events = resource["Properties"]["Events"].as_object().into_iter().flatten();
        for (event, _) in events.filter(|(_, event)| event["Type"] == "ScheduleV2") {
            rights.insert(format!("{function}{event}Role"), ["lambda:InvokeFunction".to_owned()].into());
        }
    }
    rights
}

#[test]
fn the_stack_has_the_outputs_that_are_read() {
    const FILE: &str = "cli/src/stack.rs";
    let template = template();
    let text = read(FILE);
    let reading = Regex::new(r#"output\("(\w+)"\)"#).expect("a regular expression");
    let names: Vec<_> = reading.captures_iter(&text).map(|found| found.extract::<1>().1[0]).collect();
    assert!(!names.is_empty(), "{FILE} reads no output in the way that {} looks for", file!());
    for name in names {
        assert!(
            template["Outputs"].get(name).is_some(),
            "template.yaml: {FILE} reads the output {name}; add it"
        );
    }
}

/// One statement of a role's policy; who may assume the role is not a right of the role.
struct Statement<'a> {
    /// The logical id of the resource that has it.
    owner: &'a str,
    actions: Vec<&'a str>,
    body: &'a Value,
}

fn statements(template: &Value) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    for (owner, resource) in template["Resources"].as_object().expect("template.yaml has Resources") {
        collect_statements(owner, resource, &mut statements);
    }
    statements
}

fn collect_statements<'a>(owner: &'a str, value: &'a Value, statements: &mut Vec<Statement<'a>>) {
    match value {
        Value::Object(fields) if fields.contains_key("Effect") && !fields.contains_key("Principal") => {
            let action = |action: &'a Value| {
                action
                    .as_str()
                    .unwrap_or_else(|| panic!("template.yaml: {owner}: {action} is no action's name"))
            };
            let actions = one_or_many(&value["Action"]).iter().map(action).collect();
            statements.push(Statement { owner, actions, body: value });
        }
        Value::Object(fields) => {
            for value in fields.values() {
                collect_statements(owner, value, statements);
            }
        }
        Value::Array(items) => {
            for value in items {
                collect_statements(owner, value, statements);
            }
        }
        _ => {}
    }
}

impl<'a> Statement<'a> {
    fn resources(&self) -> &'a [Value] {
        one_or_many(&self.body["Resource"])
    }

    fn has_all_resources(&self) -> bool {
        contains(&self.body["Resource"], "*")
    }

    /// The actions whose name begins with one of `verbs`.
    fn actions_that(&self, verbs: &[&str]) -> impl Iterator<Item = &'a str> {
        let name = |action: &'a str| action.split_once(':').map_or(action, |(_, name)| name);
        self.actions
            .iter()
            .copied()
            .filter(move |action| verbs.iter().any(|verb| name(action).starts_with(verb)))
    }

    fn is_conditioned_on(&self, key: &str) -> bool {
        let operators = self.body.get("Condition").and_then(Value::as_object);
        operators.is_some_and(|operators| operators.values().any(|keys| keys.get(key).is_some()))
    }

    fn demands_stack(&self, key: &str) -> bool {
        self.body["Condition"]["StringEquals"][key] == json!({ "Ref": "AWS::StackName" })
    }
}

/// Whether `text` is `value` or anywhere in it, for example in a branch of `Fn::If`.
fn contains(value: &Value, text: &str) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(|value| contains(value, text)),
        Value::Array(items) => items.iter().any(|value| contains(value, text)),
        other => other == text,
    }
}

/// IAM takes one value for a list of one.
fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}
