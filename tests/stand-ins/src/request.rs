//! What a request asks for, and of which service.

use bytes::Bytes;
use http::{Request, header};

/// The host that gives out the layers of ECR's images, whose URLs are signed in themselves.
pub const LAYERS: &str = "https://layers";

/// The service in the scope of the request's signature: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
pub fn service(request: &Request<Bytes>) -> String {
    if is_of(request, LAYERS) {
        return "ecr".to_owned();
    }
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scope = authorization.and_then(|text| text.split_once("Credential=")).map(|(_, scope)| scope);
    scope.and_then(|scope| scope.split('/').nth(3)).unwrap_or_default().to_owned()
}

/// Whether the request is sent to `origin`.
pub fn is_of(request: &Request<Bytes>, origin: &str) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, named)| named == host))
}

/// What the request asks for, as its protocol says it: in a header, in a form, or by method and path.
pub fn action(request: &Request<Bytes>) -> String {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    if let Some((_, action)) = target.and_then(|target| target.rsplit_once('.')) {
        return action.to_owned();
    }
    if service(request) == "ecr" {
        return "GetLayer".to_owned();
    }
    let form = std::str::from_utf8(request.body()).unwrap_or_default();
    let action = form.split('&').find_map(|field| field.strip_prefix("Action=")).or_else(|| of_s3(request));
    action.map_or_else(|| format!("{} {}", request.method(), request.uri().path()), str::to_owned)
}

/// What a request to S3 asks for, of what functions ask.
fn of_s3(request: &Request<Bytes>) -> Option<&'static str> {
    let is_of_s3 = service(request) == "s3";
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match request.method().as_str() {
        _ if !is_of_s3 => None,
        "POST" if has("uploads") => Some("CreateMultipartUpload"),
        "DELETE" if has("uploadId") => Some("AbortMultipartUpload"),
        "GET" if has("uploadId") => Some("ListParts"),
        "GET" if has("uploads") => Some("ListMultipartUploads"),
        "GET" if has("list-type") => Some("ListObjectsV2"),
        "HEAD" => Some("HeadBucket"),
        _ => None,
    }
}
