//! Answers as EC2's query protocol writes them.

use serde::Serialize;

use crate::error::ApiError;

/// The name space of the one API version that there is.
pub const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// A list: `<item>` elements inside the element of its field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Items<T> {
    pub item: Vec<T>,
}

impl<T> FromIterator<T> for Items<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { item: items.into_iter().collect() }
    }
}

/// The document of `answer`, whose root element has the name of its type.
pub fn document(answer: &impl Serialize) -> Result<String, ApiError> {
    declared(quick_xml::se::to_string(answer))
}

/// The document of an action that answers only that it is done.
pub fn done(action: &str, request_id: &str) -> Result<String, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Done<'a> {
        #[serde(rename = "@xmlns")]
        xmlns: &'static str,
        request_id: &'a str,
        r#return: bool,
    }
    response(action, &Done { xmlns: NAMESPACE, request_id, r#return: true })
}

/// The document of `answer` to an action, for the answers that several actions have.
pub fn response(action: &str, answer: &impl Serialize) -> Result<String, ApiError> {
    declared(quick_xml::se::to_string_with_root(&format!("{action}Response"), answer))
}

/// The document of an error. Unlike other query services EC2 has neither a type nor a name space in it.
pub fn error_document(error: &ApiError, request_id: &str) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Response<'a> {
        errors: Errors<'a>,
        #[serde(rename = "RequestID")]
        request_id: &'a str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Errors<'a> {
        error: Error<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Error<'a> {
        code: &'a str,
        message: &'a str,
    }
    let error = Error { code: error.code, message: &error.message };
    document(&Response { errors: Errors { error }, request_id }).expect("texts always have XML")
}

fn declared(body: Result<String, quick_xml::SeError>) -> Result<String, ApiError> {
    let body =
        body.map_err(|error| ApiError::new("InternalError", format!("an answer has no XML: {error}")))?;
    Ok(format!("{DECLARATION}{body}"))
}

const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_as_ec2_does() {
        let error = ApiError::new("InvalidVpcID.NotFound", "The vpc ID 'a<b&c' does not exist");
        assert_eq!(
            error_document(&error, "id-1"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>\
             <Message>The vpc ID 'a&lt;b&amp;c' does not exist</Message></Error></Errors>\
             <RequestID>id-1</RequestID></Response>"
        );
    }

    #[test]
    fn a_list_is_items_and_an_empty_one_an_empty_element() {
        #[derive(Serialize)]
        struct Answer {
            full: Items<&'static str>,
            empty: Items<&'static str>,
        }
        let answer = Answer { full: Items::from_iter(["a", "b"]), empty: Items::from_iter([]) };
        let body = document(&answer).expect("XML");
        assert!(
            body.ends_with("<Answer><full><item>a</item><item>b</item></full><empty/></Answer>"),
            "{body}"
        );
    }
}
