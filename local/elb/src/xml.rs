//! Answers as the AWS Query protocol writes them.

use serde::Serialize;

use crate::error::ApiError;

/// The name space of the one API version that there is.
const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// A list: `<member>` elements inside the element of its field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Members<T> {
    pub member: Vec<T>,
}

impl<T> FromIterator<T> for Members<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { member: items.into_iter().collect() }
    }
}

/// The document of an answer to `action`.
pub fn document(action: &str, result: &impl Serialize, request_id: &str) -> Result<String, ApiError> {
    let result = quick_xml::se::to_string_with_root(&format!("{action}Result"), result)
        .map_err(|error| ApiError::new("InternalFailure", format!("an answer has no XML: {error}")))?;
    Ok(format!(
        "{DECLARATION}<{action}Response xmlns=\"{NAMESPACE}\">{result}\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    ))
}

/// The document of an error.
pub fn error_document(error: &ApiError, request_id: &str) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct ErrorResponse<'a> {
        #[serde(rename = "@xmlns")]
        xmlns: &'static str,
        error: Error<'a>,
        request_id: &'a str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Error<'a> {
        r#type: &'static str,
        code: &'a str,
        message: &'a str,
    }
    let r#type = if error.status().is_server_error() { "Receiver" } else { "Sender" };
    let error = Error { r#type, code: error.code, message: &error.message };
    let document = quick_xml::se::to_string(&ErrorResponse { xmlns: NAMESPACE, error, request_id });
    format!("{DECLARATION}{}", document.expect("texts always have XML"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_an_error_are_written_as_the_query_protocol_has_them() {
        #[derive(Serialize)]
        struct Result {
            names: Members<&'static str>,
        }
        let answer = document("Ask", &Result { names: ["a", "b"].into_iter().collect() }, "id-1").unwrap();
        assert_eq!(
            answer,
            format!(
                "{DECLARATION}<AskResponse xmlns=\"{NAMESPACE}\"><AskResult><names><member>a</member>\
                 <member>b</member></names></AskResult><ResponseMetadata><RequestId>id-1</RequestId>\
                 </ResponseMetadata></AskResponse>"
            )
        );
        assert_eq!(
            error_document(&ApiError::validation("a<b"), "id-1"),
            format!(
                "{DECLARATION}<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type>\
                 <Code>ValidationError</Code><Message>a&lt;b</Message></Error><RequestId>id-1</RequestId>\
                 </ErrorResponse>"
            )
        );
    }
}
