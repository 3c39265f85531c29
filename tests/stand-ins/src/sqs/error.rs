//! The errors of SQS, each with its code of the query protocol, which SDKs compare.

use std::fmt::Display;

use crate::json::Refused;

pub fn no_queue() -> Refused {
    let query_code = "AWS.SimpleQueueService.NonExistentQueue";
    Refused { query_code, ..Refused::new("QueueDoesNotExist", "The specified queue does not exist.") }
}

pub fn invalid(message: impl Display) -> Refused {
    let query_code = "InvalidParameterValue";
    Refused { query_code, ..Refused::new("InvalidParameterValueException", message) }
}

pub fn value(value: impl Display, parameter: &str, reason: &str) -> Refused {
    invalid(format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"))
}

pub fn missing(parameter: &str) -> Refused {
    let message = format!("The request must contain the parameter {parameter}.");
    let query_code = "MissingParameter";
    Refused { query_code, ..Refused::new("MissingRequiredParameterException", message) }
}
