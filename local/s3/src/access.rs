//! Who is calling, and whether the caller may.

use aws_credential_types::Credentials;
use http::request::Parts;
use local_aws::auth::{Caller, Code};
use local_aws::policy::Context;

use crate::S3;
use crate::body::Payload;
use crate::error::ApiError;
use crate::headers::Kept;
use crate::query::Query;
use crate::signature::{Claim, Method, UNSIGNED};
use crate::target::Target;

/// A call by someone whose signature has been checked.
#[derive(Debug)]
pub struct Call<'a> {
    pub s3: &'a S3,
    pub caller: Caller,
    pub method: Method,
    pub parts: &'a Parts,
    pub target: Target,
    /// What no one has taken yet.
    pub query: Query,
    pub payload: Payload,
}

impl S3 {
    /// The caller who has signed this request, how, and what is signed of its body.
    pub async fn authenticate(&self, parts: &Parts) -> Result<(Caller, Method, Payload), ApiError> {
        let claim = Claim::of_request(parts)?.ok_or_else(anonymous)?;
        let hash = parts.headers.get("x-amz-content-sha256").and_then(|hash| hash.to_str().ok());
        let hash = match (claim.method, hash) {
            (_, Some(hash)) => hash,
            (Method::Header, None) => {
                // Source: S3 API Reference, "Authenticating requests: using the Authorization header"; the sentence is a guess.
                let message = "Missing required header for this request: x-amz-content-sha256";
                return Err(ApiError::invalid_request(message));
            }
            (_, None) => UNSIGNED,
        };
        let check = |credentials: &Credentials| claim.check_request(parts, hash, credentials);
        let (caller, credentials) = self.check_claim(&claim, check).await?;
        let payload = Payload::parse(hash, || claim.chain(&credentials))?;
        Ok((caller, claim.method, payload))
    }

    /// The caller who makes this claim and what it is signed with, if `check` finds that it was signed with the caller's credentials.
    pub async fn check_claim(
        &self,
        claim: &Claim,
        check: impl Fn(&Credentials) -> Result<(), ApiError>,
    ) -> Result<(Caller, Credentials), ApiError> {
        let upstream = &self.config.upstream;
        claim.check_scope(&upstream.region, upstream.clock.now())?;
        let token = claim.token.as_deref();
        let signer = self.config.guard.signer(&claim.access_key, token).await;
        let (caller, credentials) = signer.map_err(|refusal| match (refusal.code, token) {
            // Which of the two is said of a key that has a token and is not known is a guess.
            (Code::UnknownKey, Some(_)) => {
                ApiError::new("InvalidToken", "The provided token is malformed or otherwise invalid.")
            }
            (Code::UnknownKey, None) => ApiError::from(refusal).with("AWSAccessKeyId", &claim.access_key),
            _ => refusal.into(),
        })?;
        check(&credentials)?;
        Ok((caller, credentials))
    }
}

/// Nothing here is public.
pub fn anonymous() -> ApiError {
    ApiError::access_denied("Access Denied")
}

impl Call<'_> {
    /// Lets the call pass if the caller may do `action` (`GetObject`) on `resource`. The rights of each call: S3 user guide,
    /// "Required permissions for Amazon S3 API operations"; the keys: Service Authorization Reference, "Actions, resources,
    /// and condition keys for Amazon S3".
    pub async fn authorize(
        &self,
        action: &str,
        resource: &str,
        mut context: Context,
    ) -> Result<(), ApiError> {
        for (key, value) in [("s3:authType", self.method.name()), ("s3:signatureversion", "AWS4-HMAC-SHA256")]
        {
            context.insert(key.into(), vec![value.into()]);
        }
        let guard = &self.s3.config.guard;
        Ok(guard.authorize(&self.caller, &format!("s3:{action}"), resource, &context).await?)
    }

    /// The same for the key of KMS that an object is encrypted with, if any.
    /// Source: S3 user guide, "Using server-side encryption with AWS KMS keys", permissions.
    pub async fn authorize_kms(&self, action: &str, kept: &Kept) -> Result<(), ApiError> {
        let Some(key) = &kept.kms_key else { return Ok(()) };
        let (region, account) = (&self.s3.config.upstream.region, &self.s3.config.upstream.account);
        let arn = if key.starts_with("arn:") {
            key.clone()
        } else {
            format!("arn:aws:kms:{region}:{account}:key/{key}")
        };
        // Source: KMS developer guide, "AWS KMS condition keys".
        let context =
            Context::from([("kms:ViaService".to_owned(), vec![format!("s3.{region}.amazonaws.com")])]);
        let guard = &self.s3.config.guard;
        Ok(guard.authorize(&self.caller, &format!("kms:{action}"), &arn, &context).await?)
    }

    /// What is said of a key that is not there: who may not list the bucket must not learn it. A request for an object has no
    /// prefix, and so no right to list that is bound to one.
    /// Source: S3 API Reference, `GetObject` and `HeadObject`, permissions.
    pub async fn missing(&self) -> ApiError {
        let arn = self.target.bucket_arn();
        match self.authorize("ListBucket", &arn, Context::new()).await {
            Ok(()) => ApiError::no_such_key(&self.target.key),
            Err(denied) => denied,
        }
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
