//! A service as botocore's model describes it: how a request is written, and what an answer may have in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tokio::process::Command;
use url::form_urlencoded::Serializer;

use crate::xml::Element;

/// Prints the newest models of the services that are its arguments.
const LOADER: &str = "import json, sys
from botocore.loaders import Loader
print(json.dumps({name: Loader().load_service_model(name, 'service-2') for name in sys.argv[1:]}))";

/// Errors of every operation, which a model does not list. Source: the API References of ECS and Elastic Load Balancing,
/// "Common Errors".
const COMMON_ERRORS: [&str; 5] = [
    "AccessDeniedException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationError",
];

/// Values that AWS gives and the model's lists do not have, with the shape that they are of.
const MORE_VALUES: [(&str, &str); 3] = [
    // EC2 API Reference, InternetGatewayAttachment: "the state is available when attached to a VPC".
    ("AttachmentStatus", "available"),
    // Of VPC endpoints: AWS gives small letters too (hashicorp/terraform-provider-aws, vpc_endpoint.go, compares them
    // without regard to case).
    ("State", "available"),
    ("State", "pending"),
];

/// One service.
#[derive(Debug)]
pub struct Service {
    /// As requests are signed for it.
    pub name: &'static str,
    /// The code of an operation that does not exist; empty for a service that there is no stand-in for.
    pub unknown_operation: &'static str,
    /// The input by which an operation is tried, so that it changes as little as can be.
    pub probe: Value,
    model: Value,
}

impl Service {
    /// EC2, ECS, Elastic Load Balancing, and Certificate Manager, which only moto has, under their names, from the botocore
    /// that moto uses.
    ///
    /// # Errors
    /// When Python or botocore is missing.
    pub async fn load() -> Result<BTreeMap<&'static str, Self>> {
        let python = tools()?.join("python");
        let output = Command::new(&python)
            .args(["-c", LOADER, "acm", "ec2", "ecs", "elbv2"])
            .kill_on_drop(true)
            .output()
            .await;
        let output =
            output.with_context(|| format!("{} is missing; `make tools` installs it", python.display()))?;
        let mut models: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("no models: {}", String::from_utf8_lossy(&output.stderr)))?;
        let mut service = |name: &'static str, in_botocore: &str, unknown_operation, probe| {
            (name, Self { name, unknown_operation, probe, model: models[in_botocore].take() })
        };
        Ok([
            service("acm", "acm", "", json!({})),
            service("ec2", "ec2", "InvalidAction", json!({ "DryRun": "true" })),
            service("ecs", "ecs", "UnknownOperationException", json!({})),
            service("elasticloadbalancing", "elbv2", "InvalidAction", json!({})),
        ]
        .into())
    }

    /// The names of all operations.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.model["operations"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The body of a request, and its headers beside the signature. EC2's input is the form's fields; of the Query protocol's
    /// lists and structures come the fields that stand for them.
    pub fn request(&self, operation: &str, input: &Value) -> (String, Vec<(String, String)>) {
        let metadata = |name: &str| self.model["metadata"][name].as_str().unwrap_or_default();
        if self.is_xml() {
            let mut form = Serializer::new(String::new());
            form.append_pair("Action", operation).append_pair("Version", metadata("apiVersion"));
            add_fields(&mut form, "", input);
            let kind = "application/x-www-form-urlencoded; charset=utf-8";
            return (form.finish(), vec![("content-type".into(), kind.into())]);
        }
        let headers = vec![
            ("content-type".into(), format!("application/x-amz-json-{}", metadata("jsonVersion"))),
            ("x-amz-target".into(), format!("{}.{operation}", metadata("targetPrefix"))),
        ];
        (input.to_string(), headers)
    }

    /// The body of a success as JSON, without what the model does not have, and a line for each thing wrong in it.
    ///
    /// # Errors
    /// When the body is neither JSON nor XML.
    pub fn success(&self, operation: &str, raw: &str) -> Result<(Value, Vec<String>)> {
        let mut check = Check { model: &self.model, violations: Vec::new() };
        let output = &self.model["operations"][operation]["output"]["shape"];
        if !self.is_xml() {
            let body = serde_json::from_str(raw).with_context(|| format!("not JSON: {raw}"))?;
            let body = check.body(output, body, "");
            return Ok((body, check.violations));
        }
        let mut root = Element::parse(raw)?;
        let wrapper = &self.model["operations"][operation]["output"]["resultWrapper"];
        let name_space = self.model["metadata"]["xmlNamespace"].as_str().unwrap_or_default();
        if root.name != format!("{operation}Response") || !same_name_space(&root.name_space, name_space) {
            check.violation("", &format!("<{} xmlns={:?}>", root.name, root.name_space));
        }
        // What every answer has, and what one without a body has in its place; the model has neither.
        // Source: EC2 API Reference, "Response Elements" of any action and of DeleteVpc; Smithy, AWS query protocol.
        let apart =
            |child: &mut Element| ["requestId", "return", "ResponseMetadata"].contains(&child.name.as_str());
        let apart: Vec<_> = root.children.extract_if(.., apart).collect();
        if let Some(wrapper) = wrapper.as_str() {
            match root.children.pop() {
                Some(result) if result.name == wrapper && root.children.is_empty() => root = result,
                _ => check.violation("", &format!("no <{wrapper}>, or more than that")),
            }
        }
        let typed = check.typed(output, root);
        let mut body = check.body(output, typed, "");
        for element in apart {
            let name = element.name.clone();
            body[name] = element.into_json();
        }
        Ok((body, check.violations))
    }

    /// The body of an error as JSON, its code, and a line for what is wrong with it.
    pub fn error(&self, operation: &str, raw: &str) -> (Value, String, Vec<String>) {
        let (body, code) = if self.is_xml() {
            let code = if self.is_query() { "/Error/Code" } else { "/Errors/Error/Code" };
            (Element::parse(raw).map(Element::into_json).ok(), code)
        } else {
            (serde_json::from_str(raw).ok(), "/__type")
        };
        // Where something crashed it answers a page for a person.
        let mut body: Value = body.unwrap_or_default();
        let code = body.pointer(code).and_then(Value::as_str).unwrap_or("without a code");
        // Source: Smithy, AWS JSON 1.1 protocol, "Operation error serialization".
        let code = code.rsplit('#').next().unwrap_or(code).to_owned();
        // EC2's model declares no errors at all.
        let errors = self.model["operations"][operation]["errors"].as_array();
        let Some(errors) = errors.filter(|_| !COMMON_ERRORS.contains(&code.as_str())) else {
            return (body, code, Vec::new());
        };
        // A shape of the Query protocol may have another name than its error.
        let named = |error: &&Value| {
            let shape = &error["shape"];
            let shape_name = shape.as_str().unwrap_or_default();
            self.model["shapes"][shape_name]["error"]["code"].as_str().unwrap_or(shape_name) == code
        };
        let Some(error) = errors.iter().find(named) else {
            let violation = format!("{operation} has no error {code}");
            return (body, code, vec![violation]);
        };
        if self.is_query() {
            return (body, code, Vec::new());
        }
        let kind = body.as_object_mut().and_then(|fields| fields.remove("__type"));
        let mut check = Check { model: &self.model, violations: Vec::new() };
        let mut body = check.body(&error["shape"], body, "");
        body["__type"] = kind.into();
        (body, code, check.violations)
    }

    fn is_xml(&self) -> bool {
        self.model["metadata"]["protocol"] == "ec2" || self.is_query()
    }

    fn is_query(&self) -> bool {
        self.model["metadata"]["protocol"] == "query"
    }
}

/// Where the Python tools are.
pub fn tools() -> Result<PathBuf> {
    folder("MAYFLY_TOOLS")
}

/// The folder of this project's programs.
pub fn programs() -> Result<PathBuf> {
    folder("MAYFLY_PROGRAMS")
}

fn folder(variable: &str) -> Result<PathBuf> {
    let folder = std::env::var_os(variable);
    Ok(folder.with_context(|| format!("{variable} is not set; run `make test`"))?.into())
}

/// Adds the fields of the Query protocol that stand for `value` under the name `at`. Source: Smithy, AWS query protocol,
/// "Input serialization".
fn add_fields(form: &mut Serializer<'_, String>, at: &str, value: &Value) {
    let dot = if at.is_empty() { "" } else { "." };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| add_fields(form, &format!("{at}{dot}{name}"), value));
        }
        Value::Array(items) => (1..)
            .zip(items)
            .for_each(|(number, item)| add_fields(form, &format!("{at}.member.{number}"), item)),
        Value::String(text) => _ = form.append_pair(at, text),
        other => _ = form.append_pair(at, &other.to_string()),
    }
}

/// AWS itself ends EC2's with a slash, and botocore's model does not. Source: EC2 API Reference, the examples.
fn same_name_space(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// Compares a body with the model and takes out what the model does not have.
struct Check<'a> {
    model: &'a Value,
    violations: Vec<String>,
}

impl<'a> Check<'a> {
    fn violation(&mut self, at: &str, what: &str) {
        self.violations.push(format!("{at}: {what}"));
    }

    fn shape(&self, name: &Value) -> &'a Value {
        &self.model["shapes"][name.as_str().unwrap_or_default()]
    }

    fn body(&mut self, shape_name: &Value, value: Value, at: &str) -> Value {
        let shape = self.shape(shape_name);
        match (kind(shape), value) {
            ("structure", Value::Object(fields)) => {
                let mut known = Map::new();
                for (name, value) in fields {
                    let at = format!("{at}/{name}");
                    match member(shape, &name) {
                        Some(member) => {
                            known.insert(name, self.body(member, value, &at));
                        }
                        None => self.violation(&at, "unknown"),
                    }
                }
                known.into()
            }
            ("list", Value::Array(items)) => {
                let at = format!("{at}[]");
                items.into_iter().map(|item| self.body(&shape["member"]["shape"], item, &at)).collect()
            }
            ("map", Value::Object(fields)) => fields.into(),
            (kind, value) => {
                let fits = match kind {
                    "string" => value.as_str().is_some_and(|text| {
                        is_of_enum(shape, text)
                            || MORE_VALUES.iter().any(|more| *shape_name == more.0 && text == more.1)
                    }),
                    "boolean" => value.is_boolean(),
                    "integer" | "long" => value.is_i64(),
                    "double" | "float" | "timestamp" => value.is_number(),
                    _ => false,
                };
                if !fits {
                    self.violation(at, &format!("{value} is no {shape_name}, a {kind}"));
                }
                value
            }
        }
    }

    /// The element as JSON would have it; what does not fit its shape stays text, or a structure.
    fn typed(&self, shape_name: &Value, element: Element) -> Value {
        let shape = self.shape(shape_name);
        let number = |seconds: f64| Value::from(seconds);
        match kind(shape) {
            "structure" => {
                let typed = |child: Element| match member(shape, &child.name) {
                    Some(member) => (child.name.clone(), self.typed(member, child)),
                    None => (child.name.clone(), child.into_json()),
                };
                element.children.into_iter().map(typed).collect::<Map<_, _>>().into()
            }
            "list" if element.children.iter().all(|child| child.name == item_name(shape)) => element
                .children
                .into_iter()
                .map(|child| self.typed(&shape["member"]["shape"], child))
                .collect(),
            "boolean" => element.text.parse().map_or(element.into_json(), Value::Bool),
            "integer" | "long" => element.text.parse::<i64>().map_or(element.into_json(), Value::from),
            "double" | "float" => element.text.parse().map_or(element.into_json(), number),
            "timestamp" => match element.text.parse::<jiff::Timestamp>() {
                Ok(time) => number(time.as_duration().as_secs_f64()),
                Err(_) => element.into_json(),
            },
            _ => element.into_json(),
        }
    }
}

/// Where the model has no shape, for an answer without a body, it means one without fields.
fn kind(shape: &Value) -> &str {
    shape["type"].as_str().unwrap_or("structure")
}

/// How the items of a list are called in XML. Source: Smithy, AWS query protocol, "List serialization".
fn item_name(list: &Value) -> &str {
    list["member"]["locationName"].as_str().unwrap_or("member")
}

/// The name of the shape of the member that is `name` on the wire.
fn member<'a>(shape: &'a Value, name: &str) -> Option<&'a Value> {
    let members = shape["members"].as_object()?;
    let on_the_wire =
        |(key, member): &(&'a String, &'a Value)| member["locationName"].as_str().unwrap_or(key) == name;
    members.iter().find(on_the_wire).map(|(_, member)| &member["shape"])
}

/// Whether the shape has no list of values, or has this one.
fn is_of_enum(shape: &Value, text: &str) -> bool {
    shape["enum"].as_array().is_none_or(|values| values.iter().any(|value| value == text))
}
