//! Documents as S3 writes and reads them.

use std::fmt::{Display, Write as _};

use axum::body::Body;
use http::{Response, header};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A part of a document.
#[derive(Clone, Debug, Default)]
pub struct Elements(String);

impl Elements {
    /// Adds an element with text in it.
    pub fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _ = write!(self.0, "<{name}>{}</{name}>", escaped(&value.to_string()));
        self
    }

    /// Adds one with text in it where there is any.
    pub fn some(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// Adds one with others in it.
    pub fn nested(&mut self, name: &str, inner: &Self) -> &mut Self {
        let _ = write!(self.0, "<{name}>{}</{name}>", inner.0);
        self
    }

    /// The document with these in its root, without the declaration.
    pub fn root(&self, name: &str) -> String {
        format!("<{name} xmlns=\"{NAMESPACE}\">{}</{name}>", self.0)
    }

    /// The same whose root is in no name space.
    pub fn bare_root(&self, name: &str) -> String {
        format!("<{name}>{}</{name}>", self.0)
    }
}

/// Text as it stands in a document. What XML 1.0 has no way to write at all (control characters) S3 writes as references that
/// no parser has to take, which is why one asks for `encoding-type=url`.
/// Source: S3 API Reference, `ListObjectsV2`, `encoding-type`; github.com/aws/aws-sdk-js/issues/896 shows such references.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A line's end is text as it stands; a carriage return before it would be lost.
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => _ = write!(escaped, "&#{};", u32::from(c)),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The document of an error, without the declaration.
pub fn error_document(error: &ApiError, request_id: &str, host_id: &str) -> String {
    let mut elements = Elements::default();
    elements.text("Code", error.code).text("Message", &error.message);
    for (name, value) in &error.details {
        elements.text(name, value);
    }
    elements.text("RequestId", request_id).text("HostId", host_id);
    elements.bare_root("Error")
}

/// An answer with a document in it.
pub fn answer(document: &str) -> Response<Body> {
    let body = Body::from(format!("{DECLARATION}{document}"));
    let response = Response::builder().header(header::CONTENT_TYPE, "application/xml");
    response.body(body).expect("the headers are valid")
}

/// A document of a request's.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| ApiError::malformed_xml())?;
    quick_xml::de::from_str(text).map_err(|_| ApiError::malformed_xml())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_own_elements_and_any_text_is_escaped() {
        let error = ApiError::no_such_key("a<b&\u{1}\r\n\"c");
        assert_eq!(
            error_document(&error, "id-1", "host-1"),
            "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>\
             <Key>a&lt;b&amp;&#1;&#13;\n&quot;c</Key><RequestId>id-1</RequestId><HostId>host-1</HostId></Error>"
        );
    }

    #[test]
    fn a_document_that_cannot_be_read_is_malformed() {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Document {
            _one: u8,
        }
        for body in [&b"\xff"[..], b"<Document>", b"<Document><One>x</One></Document>", b""] {
            assert_eq!(read::<Document>(body).err().map(|error| error.code), Some("MalformedXML"));
        }
    }
}
