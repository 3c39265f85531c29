//! What the calls say. A parameter that is not here is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ApiError, Result};
use super::expression::Given;
use super::value::Item;

/// A call, as its target and its body say it.
#[derive(Debug)]
pub enum Call {
    Get(GetItem),
    Put(PutItem),
    Update(UpdateItem),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct GetItem {
    pub table_name: String,
    pub key: Item,
    #[serde(default)]
    pub consistent_read: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct PutItem {
    pub table_name: String,
    pub item: Item,
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct UpdateItem {
    pub table_name: String,
    pub key: Item,
    pub update_expression: String,
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
    /// Reads the call `target`, `DynamoDB_20120810.GetItem`.
    pub fn parse(target: &str, body: &[u8]) -> Result<Self> {
        match target.strip_prefix("DynamoDB_20120810.") {
            Some("GetItem") => read(body).map(Self::Get),
            Some("PutItem") => read(body).map(Self::Put),
            Some("UpdateItem") => read(body).map(Self::Update),
            _ => Err(ApiError::unknown_operation(target)),
        }
    }

    /// The table that it is about.
    pub fn table(&self) -> &str {
        match self {
            Self::Get(call) => &call.table_name,
            Self::Put(call) => &call.table_name,
            Self::Update(call) => &call.table_name,
        }
    }
}

impl PutItem {
    pub fn given(&mut self) -> Given {
        let values = std::mem::take(&mut self.expression_attribute_values);
        Given::new(std::mem::take(&mut self.expression_attribute_names), values)
    }
}

impl UpdateItem {
    pub fn given(&mut self) -> Given {
        let values = std::mem::take(&mut self.expression_attribute_values);
        Given::new(std::mem::take(&mut self.expression_attribute_names), values)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| ApiError::unsupported(format!("this request: {error}")))
}
