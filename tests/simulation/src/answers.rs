//! What services answer that do not do what they are asked for, each in its own protocol and words.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::json;

/// That there were too many calls.
pub fn throttled(service: &str) -> Response<Bytes> {
    // EC2: API reference, "Error codes"; ELB and STS: "Common errors"; DynamoDB: "Error handling"; SQS and the others:
    // their "Common errors".
    match service {
        "ec2" => refused(
            service,
            StatusCode::SERVICE_UNAVAILABLE,
            "RequestLimitExceeded",
            "Request limit exceeded.",
        ),
        "elasticloadbalancing" | "sts" => {
            refused(service, StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded")
        }
        "s3" => {
            refused(service, StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
        }
        _ => refused(service, StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded"),
    }
}

/// That the service has failed.
pub fn server_error(service: &str) -> Response<Bytes> {
    let code = match service {
        "ec2" | "s3" => "InternalError",
        "dynamodb" => "InternalServerError",
        "ecs" => "ServerException",
        _ => "InternalFailure",
    };
    refused(service, StatusCode::INTERNAL_SERVER_ERROR, code, "An internal error has occurred")
}

/// That the caller may not.
pub fn denied(service: &str, action: &str) -> Response<Bytes> {
    let message = format!(
        "User: arn:aws:sts::{}:assumed-role/role/session is not authorized to perform: {service}:{action}",
        crate::account::ACCOUNT
    );
    match service {
        "ec2" => refused(service, StatusCode::FORBIDDEN, "UnauthorizedOperation", &message),
        "elasticloadbalancing" | "sts" | "s3" => {
            refused(service, StatusCode::FORBIDDEN, "AccessDenied", &message)
        }
        _ => refused(service, StatusCode::BAD_REQUEST, "AccessDeniedException", &message),
    }
}

/// What no AWS service would say, of several kinds in turn: a page of somebody between, in no encoding; nesting without
/// an end; what is far too long; and the right form with the wrong things in it.
pub fn garbage(number: usize) -> Response<Bytes> {
    let (status, body) = match number % 5 {
        0 => (StatusCode::OK, b"<html><body>\xff{\"".to_vec()),
        1 => (StatusCode::OK, "[{\"a\":".repeat(50_000).into()),
        2 => (StatusCode::OK, "<a>".repeat(50_000).into()),
        3 => (StatusCode::BAD_GATEWAY, "\u{1F980}\u{202E}\0".repeat(100_000).into()),
        _ => (StatusCode::BAD_REQUEST, br#"{"__type":[7],"message":{},"Errors":"<Error>"}"#.to_vec()),
    };
    Response::builder().status(status).body(body.into()).expect("the parts are well formed")
}

fn refused(service: &str, status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let body = match service {
        "ec2" => format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>0</RequestID></Response>"
        ),
        "elasticloadbalancing" | "sts" => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>0</RequestId></ErrorResponse>"
        ),
        "s3" => format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
        _ => json!({ "__type": code, "message": message }).to_string(),
    };
    let kind = if body.starts_with('<') { "text/xml" } else { "application/x-amz-json-1.0" };
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, kind);
    let response = if body.starts_with('<') { response } else { response.header("x-amzn-errortype", code) };
    response.body(body.into()).expect("the parts are well formed")
}
