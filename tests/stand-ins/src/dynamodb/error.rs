//! The errors of the DynamoDB API.
//! Source: developer guide, "Error handling with DynamoDB", and the errors of each action.

use std::fmt::Display;

use serde_json::json;

use super::value::Item;
use crate::json::Refused;

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, Refused>;

pub fn invalid(message: impl Display) -> Refused {
    Refused::new("ValidationException", message)
}

/// What AWS may have and this stand-in does not.
pub fn unsupported(what: impl Display) -> Refused {
    let message = format!("the simulated DynamoDB does not take {what}");
    tracing::error!(message, "a call could not be judged");
    invalid(message)
}

pub fn no_table() -> Refused {
    Refused::new("ResourceNotFoundException", "Requested resource not found")
}

pub fn condition_failed(item: Option<&Item>) -> Refused {
    let failed = Refused::new("ConditionalCheckFailedException", "The conditional request failed");
    Refused { item: item.map(|item| Box::new(json!(item))), ..failed }
}
