//! What the calls say. A parameter that is not here is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{self, Result};
use super::expression::Given;
use super::value::Item;
use crate::json::Asked;

/// A call.
#[derive(Debug)]
pub enum Call {
    Get(GetItem),
    Put(PutItem),
    Update(UpdateItem),
    Scan(Scan),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct GetItem {
    pub table_name: String,
    pub key: Item,
    #[serde(default)]
    pub consistent_read: bool,
}

/// All of a table is one page here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Scan {
    pub table_name: String,
    pub filter_expression: String,
    pub projection_expression: String,
    pub expression_attribute_names: BTreeMap<String, String>,
    pub consistent_read: bool,
}

#[derive(Debug)]
pub struct PutItem {
    pub item: Item,
    pub write: Write,
}

#[derive(Debug)]
pub struct UpdateItem {
    pub key: Item,
    pub update_expression: String,
    pub write: Write,
}

/// What every call says that changes an item.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Write {
    pub table_name: String,
    pub condition_expression: Option<String>,
    #[serde(default)]
    pub expression_attribute_names: BTreeMap<String, String>,
    #[serde(default)]
    pub expression_attribute_values: Item,
    #[serde(default)]
    pub return_values: ReturnValues,
    #[serde(default)]
    pub return_values_on_condition_check_failure: ReturnValues,
}

/// What an answer is to hold of the item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReturnValues {
    /// Nothing.
    #[default]
    None,
    /// All of it, as it was before.
    AllOld,
    /// All of it, as it is now.
    AllNew,
}

impl Call {
    /// Reads what is asked for.
    pub fn parse(asked: &Asked) -> Result<Self> {
        let mut body = asked.body.clone();
        Ok(match asked.action.as_str() {
            "GetItem" => Self::Get(read(body)?),
            "Scan" => Self::Scan(read(body)?),
            "PutItem" => Self::Put(PutItem { item: take(&mut body, "Item")?, write: read(body)? }),
            "UpdateItem" => Self::Update(UpdateItem {
                key: take(&mut body, "Key")?,
                update_expression: take(&mut body, "UpdateExpression")?,
                write: read(body)?,
            }),
            _ => return Err(asked.unknown()),
        })
    }

    /// The table that it is about.
    pub fn table(&self) -> &str {
        match self {
            Self::Get(call) => &call.table_name,
            Self::Scan(call) => &call.table_name,
            Self::Put(PutItem { write, .. }) | Self::Update(UpdateItem { write, .. }) => &write.table_name,
        }
    }
}

impl Write {
    pub fn given(&mut self) -> Given {
        let values = std::mem::take(&mut self.expression_attribute_values);
        Given::new(std::mem::take(&mut self.expression_attribute_names), values)
    }
}

fn take<T: DeserializeOwned>(body: &mut Value, parameter: &str) -> Result<T> {
    read(body.as_object_mut().and_then(|body| body.remove(parameter)).unwrap_or_default())
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T> {
    serde_json::from_value(body).map_err(|error| error::unsupported(format!("this request: {error}")))
}
