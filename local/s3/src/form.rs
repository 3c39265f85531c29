//! POST Object: a form with a signed policy and a file.
//! Source: S3 API Reference, "POST Object"; recorded, `TestS3PresignedPost`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::stream::Stream;
use http::request::Parts;
use http::{Response, StatusCode, header};
use multer::{Field, Multipart};
use percent_encoding::utf8_percent_encode;

use crate::S3;
use crate::access::{Call, anonymous};
use crate::body::{LARGEST, Payload, malformed_form};
use crate::error::ApiError;
use crate::headers::Kept;
use crate::object::Object;
use crate::objects::quoted;
use crate::policy::Policy;
use crate::query::Query;
use crate::signature::{Claim, Fields, Method};
use crate::target::{IN_QUERY, Target, check_key};
use crate::xml::{self, Elements};

/// The most bytes before the file: "20 KB", which is 20,480 in S3's answer (github.com/waynehoover/s3_direct_upload/issues/45).
const BEFORE_FILE: usize = 20_480;

/// Fields that would change what is done, and that nobody here sends.
const UNSUPPORTED: [&str; 5] = ["acl", "content-md5", "redirect", "success_action_redirect", "tagging"];

/// What came before the file: by name in lower case, each with how the form writes its name.
#[derive(Debug, Default)]
struct Form(BTreeMap<String, (String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(_, value)| value.as_str())
    }

    /// Several fields of one name are one: S3 user guide, "HTML forms", multiple fields of one name.
    fn add(&mut self, name: &str, value: &str) {
        let (_, all) = self
            .0
            .entry(name.to_lowercase())
            .and_modify(|(_, all)| all.push(','))
            .or_insert_with(|| (name.to_owned(), String::new()));
        all.push_str(value);
    }

    /// A field that has to be there. Recorded, `test_post_request_missing_signature`.
    fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(&name.to_lowercase()).ok_or_else(|| {
            let message = format!(
                "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the \
                 fields."
            );
            ApiError::argument(name, "", message)
        })
    }

    /// Puts the file's name in the place of `${filename}` in every field.
    /// Source: S3 API Reference, "HTML form fields"; recorded, `test_post_object_with_file_as_string`: where the file has no
    /// name, nothing is put there.
    fn expand(&mut self, filename: Option<&str>) {
        let Some(name) = filename.and_then(|name| name.rsplit(['/', '\\']).next()) else { return };
        for (field, (_, value)) in &mut self.0 {
            if field != "policy" {
                *value = value.replace("${filename}", name);
            }
        }
    }

    /// What its signature says of itself; nothing of a form that nobody has signed.
    fn claim(&self) -> Result<Option<Claim>, ApiError> {
        let names = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];
        if names.iter().all(|name| self.get(name).is_none()) {
            return Ok(None);
        }
        let algorithm = self.need("X-Amz-Algorithm")?;
        if algorithm != "AWS4-HMAC-SHA256" {
            // The sentence is a guess.
            let message = "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"";
            return Err(ApiError::argument("X-Amz-Algorithm", algorithm, message));
        }
        let fields = Fields {
            credential: self.need("X-Amz-Credential")?.to_owned(),
            stamp: self.need("X-Amz-Date")?.to_owned(),
            hmac: self.need("X-Amz-Signature")?.to_owned(),
            token: self.get("x-amz-security-token").map(str::to_owned),
            signed_headers: String::new(),
            lifetime: None,
        };
        Claim::new(Method::Form, fields).map(Some)
    }
}

/// One piece at a time: multer takes all that it can get at once, and would hold a file that comes fast enough in memory.
struct Paced<S> {
    inner: S,
    rests: bool,
}

impl<S: Stream + Unpin> Stream for Paced<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.inner).poll_next(context);
        self.rests = matches!(polled, Poll::Ready(Some(_)));
        polled
    }
}

/// What is known of a form while it is read, for the log.
#[derive(Debug, Default)]
struct Known {
    caller: String,
    resource: Option<String>,
}

impl S3 {
    /// The caller's ARN, the object's where the form names it, and the answer.
    pub(crate) async fn post_object(
        &self,
        parts: &Parts,
        target: Target,
        body: &mut BodyDataStream,
    ) -> (String, Option<String>, Result<Response<Body>, ApiError>) {
        let mut known = Known::default();
        let result = self.post(parts, target, body, &mut known).await;
        (known.caller, known.resource, result)
    }

    /// In the order in which S3 is seen to check: the kind of body, its fields, the signature over the policy as it is sent, the
    /// policy, the rights, and the file's length as it arrives.
    async fn post(
        &self,
        parts: &Parts,
        mut target: Target,
        body: &mut BodyDataStream,
        known: &mut Known,
    ) -> Result<Response<Body>, ApiError> {
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.filter(|kind| kind.to_lowercase().starts_with("multipart/form-data"));
        // Recorded, `test_post_object_with_wrong_content_type`.
        let kind = kind.ok_or_else(|| {
            ApiError::precondition_failed("Bucket POST must be of the enclosure-type multipart/form-data")
        })?;
        let boundary = multer::parse_boundary(kind).map_err(|_| malformed_form())?;
        let mut multipart = Multipart::new(Paced { inner: body, rests: false }, boundary);
        let (mut form, mut file) = read(&mut multipart).await?;
        form.expand(file.file_name());
        target.key = form.need("key")?.to_owned();
        check_key(&target.key)?;
        known.resource = Some(target.arn());
        self.state().bucket(&target.bucket)?;

        let claim = form.claim()?.ok_or_else(anonymous)?;
        let policy = form.need("policy")?;
        let (caller, _) = self.check_claim(&claim, |credentials| claim.check(policy, credentials)).await?;
        known.caller.clone_from(&caller.arn);
        let policy = Policy::parse(policy)?;
        let fields: Vec<_> = form.0.values().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let now = self.config.upstream.clock.now();
        let (least, most) = policy.check(&target.bucket, &fields, now)?;
        if let Some(name) = UNSUPPORTED.iter().find(|name| form.get(name).is_some()) {
            return Err(ApiError::unsupported(&format!("the field {name}")));
        }
        let status = form.get("success_action_status").map(str::to_owned);
        let mut named = form.0.into_iter().map(|(name, (_, value))| (name, value)).collect();
        let kept = Kept::take(&mut named)?;
        let (query, payload) = (Query::default(), Payload::Unsigned);
        let call = Call { s3: self, caller, method: Method::Form, parts, target, query, payload };
        call.authorize("PutObject", &call.target.arn(), kept.context()).await?;
        call.authorize_kms("GenerateDataKey", &kept).await?;

        let most = most.min(LARGEST);
        let received = self.receive_file(&mut file, most).await?;
        let received = received.map_err(|length| ApiError::too_large(length, most))?;
        if received.segment.length < least {
            return Err(ApiError::too_small(received.segment.length, least));
        }
        drop(file);
        // "Any fields below it are ignored", and a form that breaks off is none.
        while multipart.next_field().await.map_err(|_| malformed_form())?.is_some() {}
        let object = self.put(&call.target.bucket, &call.target.key, received, kept)?;
        posted(&call, &object, status.as_deref())
    }
}

/// The fields before the file, and the file.
async fn read<'r>(multipart: &mut Multipart<'r>) -> Result<(Form, Field<'r>), ApiError> {
    let mut form = Form::default();
    let mut size = 0;
    while let Some(mut field) = multipart.next_field().await.map_err(|_| malformed_form())? {
        let name = field.name().unwrap_or_default().to_owned();
        if name.eq_ignore_ascii_case("file") {
            return Ok((form, field));
        }
        let mut value = Vec::new();
        size += name.len();
        while let Some(piece) = field.chunk().await.map_err(|_| malformed_form())? {
            size += piece.len();
            if size > BEFORE_FILE {
                let message = "Your POST request fields preceeding the upload file was too large.";
                return Err(ApiError::new("MaxPostPreDataLengthExceeded", message)
                    .with("MaxPostPreDataLengthBytes", BEFORE_FILE));
            }
            value.extend_from_slice(&piece);
        }
        form.add(&name, std::str::from_utf8(&value).map_err(|_| malformed_form())?);
    }
    // As others have met it: github.com/boto/boto3/issues/934.
    let message = "POST requires exactly one file upload per request.";
    Err(ApiError::argument("file", "0", message))
}

/// The answer to a form that has made `object`.
fn posted(call: &Call<'_>, object: &Object, status: Option<&str>) -> Result<Response<Body>, ApiError> {
    let (bucket, key) = (&call.target.bucket, &call.target.key);
    let host = call.header(header::HOST.as_str()).unwrap_or_default();
    // The key's slashes are encoded, too: github.com/boto/boto3/issues/2851.
    let location = format!("http://{host}/{bucket}/{}", utf8_percent_encode(key, IN_QUERY));
    let response =
        Response::builder().header(header::ETAG, quoted(&object.etag)).header(header::LOCATION, &location);
    let response = object.kept.answer_encryption(response);
    Ok(match status {
        Some("201") => {
            let mut elements = Elements::default();
            elements.text("Location", &location).text("Bucket", bucket).text("Key", key);
            elements.text("ETag", quoted(&object.etag));
            let document = format!("{}{}", xml::DECLARATION, elements.bare_root("PostResponse"));
            response
                .status(StatusCode::CREATED)
                .header(header::CONTENT_TYPE, "application/xml")
                .body(Body::from(Bytes::from(document)))?
        }
        Some("200") => response.body(Body::empty())?,
        _ => response.status(StatusCode::NO_CONTENT).body(Body::empty())?,
    })
}
