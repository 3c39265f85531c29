//! The project's files as the rules read them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The path of a file or folder of the project.
pub fn path(relative: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}

/// The text of a file of the project.
pub fn read(file: impl AsRef<Path>) -> String {
    let file = file.as_ref();
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A file that holds one JSON value.
pub fn json(file: &str) -> Value {
    serde_json::from_str(&read(file)).unwrap_or_else(|error| panic!("{file} is not JSON: {error}"))
}

/// A file in TOML.
pub fn toml(file: impl AsRef<Path>) -> Value {
    let file = file.as_ref();
    toml::from_str(&read(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What a folder of the project holds, hidden entries left out.
pub fn entries(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries.map(|entry| entry.expect("a readable folder").file_name().into_string());
    names.map(|name| name.expect("a name in UTF-8")).filter(|name| !name.starts_with('.')).collect()
}

/// The project's files, without those that tools made and hidden ones.
pub fn files() -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(path(&folder)).expect("a readable folder") {
            let entry = entry.expect("a readable folder");
            let name = entry.file_name();
            if name == "target" || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = entry.file_type().expect("a readable entry");
            if kind.is_dir() {
                folders.push(folder.join(name));
            } else if kind.is_file() {
                files.push(folder.join(name));
            }
        }
    }
    files
}

/// The files among them that are Rust.
pub fn sources() -> impl Iterator<Item = PathBuf> {
    files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"))
}

/// The names of the functions, which are the folders of `functions/`.
pub fn functions() -> BTreeSet<String> {
    entries("functions")
}

/// `create-queue` as it is spelt in the machines and the template: `CreateQueue`.
pub fn pascal(kebab: &str) -> String {
    let words = kebab.split('-').filter_map(|word| word.split_at_checked(1));
    words.map(|(first, rest)| first.to_uppercase() + rest).collect()
}

/// `template.yaml`, with every short tag (`!Sub x`) in its long form (`{"Fn::Sub": "x"}`).
pub fn template() -> Value {
    let text = read("template.yaml");
    let documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("template.yaml: {error}"));
    long_form(&documents[0])
}

/// Source: CloudFormation Template Reference, "Intrinsic function reference".
fn long_form(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Tagged(tag, node) => {
            let key = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            let value = match (key.as_str(), long_form(node)) {
                ("Fn::GetAtt", Value::String(dotted)) => json!(dotted.splitn(2, '.').collect::<Vec<_>>()),
                (_, value) => value,
            };
            json!({ key: value })
        }
        Yaml::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| {
                let key =
                    key.as_str().unwrap_or_else(|| panic!("template.yaml: {key:?} is no text and no key"));
                (key.to_owned(), long_form(value))
            });
            Value::Object(pairs.collect())
        }
        Yaml::Sequence(items) => items.iter().map(long_form).collect(),
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        other => panic!("template.yaml: cannot read {other:?}"),
    }
}

/// The template's resources of one type, by logical id.
pub fn resources<'a>(template: &'a Value, kind: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let all = template["Resources"].as_object().expect("template.yaml has Resources");
    all.iter().filter(move |(_, resource)| resource["Type"] == kind)
}

/// A state machine: its file, and its resource in the template.
pub struct Machine {
    /// The logical id.
    pub id: String,
    /// The resource's properties.
    pub properties: Value,
    /// The definition's path.
    pub file: String,
    /// The definition as it stands in the file.
    pub text: String,
    /// The definition.
    pub definition: Value,
}

/// The machines that the template deploys.
pub fn machines() -> Vec<Machine> {
    let template = template();
    let machines = resources(&template, "AWS::Serverless::StateMachine").map(|(id, resource)| {
        let properties = resource["Properties"].clone();
        let file = properties["DefinitionUri"].as_str();
        let file = file.unwrap_or_else(|| panic!("template.yaml: {id} needs a DefinitionUri")).to_owned();
        Machine { id: id.clone(), text: read(&file), definition: json(&file), properties, file }
    });
    machines.collect()
}

/// One state of a machine, at any depth.
pub struct State<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its fields.
    pub fields: &'a Map<String, Value>,
    /// Whether it is in no branch of another state.
    pub outermost: bool,
    /// The errors that a Catch, its own or one round it, matches by name.
    pub caught: BTreeSet<&'a str>,
}

impl Machine {
    /// All states, in the file's order.
    pub fn states(&self) -> Vec<State<'_>> {
        let mut states = Vec::new();
        collect_states(&self.definition, None, &mut states);
        states
    }

    /// The names in `${…}`.
    pub fn placeholders(&self) -> BTreeSet<&str> {
        let placeholder = Regex::new(r"\$\{(\w+)\}").expect("a regular expression");
        placeholder.captures_iter(&self.text).map(|found| found.extract::<1>().1[0]).collect()
    }
}

impl State<'_> {
    /// The state's `Type`.
    pub fn kind(&self) -> &str {
        self.fields["Type"].as_str().unwrap_or_default()
    }

    /// Whether the state invokes a function.
    pub fn invokes(&self) -> bool {
        self.fields
            .get("Resource")
            .and_then(Value::as_str)
            .is_some_and(|resource| resource.contains("lambda"))
    }

    /// The logical id of the function that the state invokes: `${CreateSubnetFunctionArn}` is `CreateSubnetFunction`'s.
    pub fn function(&self) -> &str {
        let name = self.fields["Parameters"]["FunctionName"].as_str();
        let id = name.and_then(|name| name.strip_prefix("${")?.strip_suffix("Arn}"));
        id.unwrap_or_else(|| panic!("{}: FunctionName is {name:?}, not ${{…Arn}}", self.name))
    }
}

/// The names in the `ErrorEquals` of an entry of Retry or Catch.
pub fn error_names(handler: &Value) -> impl Iterator<Item = &str> {
    handler["ErrorEquals"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn collect_states<'a>(scope: &'a Value, around: Option<&BTreeSet<&'a str>>, states: &mut Vec<State<'a>>) {
    for (name, fields) in scope["States"].as_object().expect("a scope has States") {
        let fields = fields.as_object().expect("a state is an object");
        let catchers = fields.get("Catch").and_then(Value::as_array).into_iter().flatten();
        let own = catchers.flat_map(error_names).filter(|name| *name != "States.ALL");
        let caught = around.into_iter().flatten().copied().chain(own).collect();
        for branch in fields.get("Branches").and_then(Value::as_array).into_iter().flatten() {
            collect_states(branch, Some(&caught), states);
        }
        states.push(State { name, fields, outermost: around.is_none(), caught });
    }
}
