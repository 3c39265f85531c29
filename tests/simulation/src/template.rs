//! What CloudFormation makes of the template: conditions and intrinsic functions, each as the CloudFormation user guide has
//! it under "Intrinsic function reference", of those that the template uses.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// The template as SAM's translator hands it to CloudFormation; `make transform` writes it.
const TRANSFORMED: &str = include_str!("../template.json");

/// How many letters the zones have that `Fn::GetAZs` gives, as in the stand-in.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// What a logical id stands for.
#[derive(Clone, Debug, Default)]
pub struct Physical {
    /// What `Ref` gives.
    pub id: String,
    /// What `Fn::GetAtt` gives, by the attribute's name.
    pub attributes: BTreeMap<&'static str, String>,
}

/// The template, with the values of its parameters.
#[derive(Clone, Debug)]
pub struct Template {
    /// All but its resources.
    document: Value,
    values: BTreeMap<String, Value>,
    /// Those whose condition holds.
    resources: Map<String, Value>,
}

/// One resource of the template.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// Its logical id.
    pub id: &'a str,
    /// Such as `AWS::EC2::VPC`.
    pub kind: &'a str,
    /// What the template says of it, unresolved.
    pub properties: &'a Value,
}

impl Template {
    /// The template for the stack `name`, with `parameters` in place of its defaults.
    ///
    /// # Errors
    /// Where the template has no such parameter.
    pub fn new(name: &str, region: &str, account: &str, parameters: &[(&str, &str)]) -> Result<Self> {
        let mut document: Value =
            serde_json::from_str(TRANSFORMED).context("tests/simulation/template.json")?;
        let mut values = BTreeMap::from(
            [
                ("AWS::StackName", name),
                ("AWS::Region", region),
                ("AWS::AccountId", account),
                ("AWS::Partition", "aws"),
                ("AWS::URLSuffix", "amazonaws.com"),
            ]
            .map(|(name, value)| (name.to_owned(), json!(value))),
        );
        let declared = document["Parameters"].as_object().context("the template has parameters")?;
        for (name, _) in parameters {
            ensure!(declared.contains_key(*name), "the template has no parameter {name}");
        }
        for (name, declaration) in declared {
            let given = parameters.iter().find(|(parameter, _)| parameter == name).map(|(_, value)| *value);
            let default = || match &declaration["Default"] {
                Value::Number(number) => Some(number.to_string()),
                default => default.as_str().map(str::to_owned),
            };
            let value =
                given.map(str::to_owned).or_else(default).with_context(|| format!("{name} has no value"))?;
            let is_list = declaration["Type"] == "CommaDelimitedList";
            // An empty list is one empty text (CloudFormation user guide, "CommaDelimitedList").
            let value = if is_list { json!(value.split(',').collect::<Vec<_>>()) } else { json!(value) };
            values.insert(name.clone(), value);
        }
        let all = document["Resources"].as_object_mut().map(std::mem::take);
        let mut template = Self { document, values, resources: Map::new() };
        for (id, resource) in all.context("the template has resources")? {
            if resource["Condition"].as_str().map_or(Ok(true), |name| template.condition(name))? {
                ensure!(resource["Type"].is_string(), "{id} has no type");
                template.resources.insert(id, resource);
            }
        }
        Ok(template)
    }

    /// The resources whose condition holds, in the template's order.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.resources.iter().map(|(id, resource)| Resource {
            id,
            kind: resource["Type"].as_str().unwrap_or_default(),
            properties: &resource["Properties"],
        })
    }

    /// What the template says of the resource `id`, unresolved; nothing where there is none or its condition does not hold.
    pub fn properties(&self, id: &str) -> Option<&Value> {
        Some(&self.resources.get(id)?["Properties"])
    }

    fn condition(&self, name: &str) -> Result<bool> {
        self.is_true(&self.document["Conditions"][name]).with_context(|| format!("the condition {name}"))
    }

    /// A condition refers to no resource.
    fn is_true(&self, test: &Value) -> Result<bool> {
        let (name, argument) = function(test).context("a condition is a function")?;
        let parts = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        let tests = || parts.iter().map(|part| self.is_true(part)).collect::<Result<Vec<_>>>();
        let value = |value| self.resolve(value, &BTreeMap::new());
        Ok(match (name, parts) {
            ("Condition", _) => self.condition(argument.as_str().context("a condition's name")?)?,
            ("Fn::Equals", [one, other]) => value(one)? == value(other)?,
            ("Fn::Not", [one]) => !self.is_true(one)?,
            ("Fn::And", _) => !tests()?.contains(&false),
            ("Fn::Or", _) => tests()?.contains(&true),
            _ => bail!("{test} is no condition that is known here"),
        })
    }

    /// `value` with every function in it carried out, in a stack that has `physical`.
    ///
    /// # Errors
    /// Where a function is not known here, or refers to what is not there.
    pub fn resolve(&self, value: &Value, physical: &BTreeMap<String, Physical>) -> Result<Value> {
        Ok(self.resolved(value, physical)?.unwrap_or(Value::Null))
    }

    /// Nothing for `AWS::NoValue`.
    fn resolved(&self, value: &Value, physical: &BTreeMap<String, Physical>) -> Result<Option<Value>> {
        if let Some((name, argument)) = function(value) {
            return self.call(name, argument, physical).with_context(|| value.to_string());
        }
        Ok(Some(match value {
            Value::Array(values) => {
                let values = values.iter().map(|value| self.resolved(value, physical));
                Value::Array(values.filter_map(Result::transpose).collect::<Result<_>>()?)
            }
            Value::Object(fields) => {
                let mut resolved = Map::new();
                for (name, value) in fields {
                    if let Some(value) = self.resolved(value, physical)? {
                        resolved.insert(name.clone(), value);
                    }
                }
                Value::Object(resolved)
            }
            plain => plain.clone(),
        }))
    }

    fn call(
        &self,
        name: &str,
        argument: &Value,
        physical: &BTreeMap<String, Physical>,
    ) -> Result<Option<Value>> {
        let resolve = |value: &Value| self.resolve(value, physical);
        let parts = argument.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Some(match (name, parts) {
            ("Ref", _) => match argument.as_str().context("a name")? {
                "AWS::NoValue" => return Ok(None),
                name => self.reference(name, physical)?,
            },
            ("Fn::GetAtt", _) => {
                let (id, attribute) = match parts {
                    [id, attribute] => (id.as_str().context("an id")?, attribute.as_str().context("a name")?),
                    _ => argument.as_str().and_then(|path| path.split_once('.')).context("ID.ATTRIBUTE")?,
                };
                let attributes = physical.get(id).map(|resource| &resource.attributes);
                json!(attributes.and_then(|all| all.get(attribute)).context("no such attribute")?)
            }
            ("Fn::Sub", _) => {
                let (text, own) = match parts {
                    [text, own] => (text, resolve(own)?),
                    _ => (argument, Value::Null),
                };
                json!(self.substitute(text.as_str().context("a text")?, &own, physical)?)
            }
            ("Fn::Join", [separator, list]) => {
                let list = resolve(list)?;
                let texts =
                    list.as_array().context("a list")?.iter().map(|text| text.as_str().context("a text"));
                json!(texts.collect::<Result<Vec<_>>>()?.join(separator.as_str().context("a separator")?))
            }
            ("Fn::Split", [separator, text]) => {
                let text = resolve(text)?;
                let separator = separator.as_str().context("a separator")?;
                json!(text.as_str().context("a text")?.split(separator).collect::<Vec<_>>())
            }
            ("Fn::Select", [index, list]) => {
                let index = match index {
                    Value::String(text) => text.parse()?,
                    index => index.as_u64().context("an index")?,
                };
                resolve(list)?.get(usize::try_from(index)?).context("no such element")?.clone()
            }
            ("Fn::If", [condition, yes, no]) => {
                let holds = self.condition(condition.as_str().context("a condition's name")?)?;
                return self.resolved(if holds { yes } else { no }, physical);
            }
            ("Fn::FindInMap", [map, top, second]) => {
                let path = [resolve(map)?, resolve(top)?, resolve(second)?];
                let mut found = &self.document["Mappings"];
                for key in &path {
                    found = &found[key.as_str().context("a key")?];
                }
                found.clone()
            }
            ("Fn::GetAZs", _) => {
                let region = self.values["AWS::Region"].as_str().unwrap_or_default();
                json!(ZONES.map(|letter| format!("{region}{letter}")))
            }
            _ => bail!("is no function that is known here"),
        }))
    }

    fn reference(&self, name: &str, physical: &BTreeMap<String, Physical>) -> Result<Value> {
        match physical.get(name) {
            Some(resource) => Ok(json!(resource.id)),
            None => self.values.get(name).cloned().with_context(|| format!("{name} is not there")),
        }
    }

    /// `text` with the values of `${NAME}`, which may be one of `own`, `${ID.ATTRIBUTE}` and `${!LITERAL}` in it.
    ///
    /// # Errors
    /// Where a brace is not closed, or a name is not known or no text.
    pub fn substitute(
        &self,
        text: &str,
        own: &Value,
        physical: &BTreeMap<String, Physical>,
    ) -> Result<String> {
        let (mut substituted, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            substituted += before;
            let (name, behind) = after.split_once('}').context("a brace is not closed")?;
            rest = behind;
            if let Some(literal) = name.strip_prefix('!') {
                substituted.extend(["${", literal, "}"]);
                continue;
            }
            let value = match (own.get(name), name.split_once('.')) {
                (Some(value), _) => value.clone(),
                (None, Some(_)) => {
                    self.call("Fn::GetAtt", &json!(name), physical)?.with_context(|| format!("no {name}"))?
                }
                (None, None) => self.reference(name, physical)?,
            };
            substituted += value.as_str().with_context(|| format!("{name} is no text"))?;
        }
        Ok(substituted + rest)
    }
}

/// The name and the argument of an intrinsic function. `Condition` beside other fields is IAM's.
fn function(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let (name, argument) = fields.iter().next()?;
    let is_condition = name == "Condition" && argument.is_string();
    (name == "Ref" || is_condition || name.starts_with("Fn::")).then_some((name, argument))
}
