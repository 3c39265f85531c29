//! STS, for the one call that is made: `AssumeRole`, by functions for the data role, and by AWS's own services for the
//! roles that they act as.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use local_aws::auth::{Caller, Refusal};
use local_aws::policy::{self, Context, Decision, Policy, Unsupported};
use local_aws::server::Service;
use local_aws::sts::{ANSWER, error_document, packed_percent, packed_too_large};
use local_aws::upstream::{Session, Upstream};
use serde_json::Value;
use url::form_urlencoded;

use crate::json::Surroundings;

const VERSION: &str = "2011-06-15";
const ACTION: &str = "sts:AssumeRole";

// STS API Reference, `AssumeRole`, the lengths and ranges of its parameters.
const ARN_LENGTH: RangeInclusive<usize> = 20..=2_048;
const SESSION_NAME_LENGTH: RangeInclusive<usize> = 2..=64;
const POLICY_LENGTH: RangeInclusive<usize> = 1..=2_048;
const DURATION: RangeInclusive<u64> = 900..=43_200;
/// How long a session lasts where nothing is said, and how long it may: the most that a role gives which does not say so
/// itself (none of the template's does), and the most for who has a session already.
/// Source: STS API Reference, `AssumeRole`, `DurationSeconds`; IAM API Reference, `CreateRole`, `MaxSessionDuration`.
const HOUR: u64 = 3_600;

/// A role's `AssumeRolePolicyDocument`, by the role's ARN; none where there is no such role.
pub type Trust = Arc<dyn Fn(&str) -> Option<Value> + Send + Sync>;

/// What STS works with.
#[derive(Clone)]
pub struct Config {
    /// What it works with like the others.
    pub around: Surroundings,
    /// Who may assume which role.
    pub trust: Trust,
}

/// The STS of one account. Clones share one state.
#[derive(Clone)]
pub struct Sts {
    config: Config,
    /// The unique id of each role that was assumed, by ARN.
    role_ids: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Debug for Sts {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sts")
    }
}

impl Sts {
    /// One whose roles nobody has assumed yet.
    pub fn new(config: Config) -> Self {
        Self { config, role_ids: Arc::default() }
    }

    async fn assume_role(&self, caller: &Caller, form: Form) -> Result<String, ApiError> {
        let wanted = Wanted::read(form)?;
        self.check_rights(caller, &wanted.role).await?;
        if wanted.seconds > HOUR {
            return Err(ApiError::validation(match caller.role {
                // As quoted in AWS re:Post's knowledge center, "iam-role-chaining-limit".
                Some(_) => {
                    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
                }
                None => "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            }));
        }
        if let Some(policy) = &wanted.policy {
            Policy::parse(policy)
                .map_err(|error| ApiError::new("MalformedPolicyDocument", error.to_string()))?;
            let percent = packed_percent(policy);
            if percent > 100 {
                return Err(ApiError::new("PackedPolicyTooLarge", packed_too_large(percent)));
            }
        }
        Ok(self.session(&wanted))
    }

    /// Refuses who may not assume the role, and says nothing else of a role that does not exist.
    ///
    /// A role of the same account needs no right of its own where the role's trust policy names it, and does where the
    /// policy names the account. Source: STS API Reference, `AssumeRole`, "Permissions".
    async fn check_rights(&self, caller: &Caller, role: &str) -> Result<(), ApiError> {
        let refused = || {
            let arn = &caller.arn;
            let message = format!("User: {arn} is not authorized to perform: {ACTION} on resource: {role}");
            ApiError::new("AccessDenied", message)
        };
        let trust = (self.config.trust)(role).ok_or_else(refused)?;
        let cannot_tell = |error: Unsupported| {
            tracing::error!(role, %error, "a trust policy could not be evaluated");
            ApiError::new("AccessDenied", error.to_string())
        };
        let trust = Policy::parse(&trust.to_string()).map_err(cannot_tell)?;
        let context = Context::new();
        let request = policy::Request { action: ACTION, resource: role, context: &context };
        let Some(of_caller) = &caller.role else {
            // On AWS the root assumes no roles. Here it stands for AWS's services, which call without keys there.
            return trust
                .admits_some_service(request)
                .map_err(cannot_tell)?
                .then_some(())
                .ok_or_else(refused);
        };
        let account = format!("arn:aws:iam::{}:root", self.config.around.upstream.account);
        let named = trust.admits_principal(of_caller, request).map_err(cannot_tell)?;
        let trusted = named || trust.admits_principal(&account, request).map_err(cannot_tell)?;
        match self.config.around.guard.decide(caller, ACTION, role, &context).await? {
            Decision::Allowed if trusted => Ok(()),
            Decision::ImplicitlyDenied if named => Ok(()),
            _ => Err(refused()),
        }
    }

    /// Begins the session and tells its keys. One with a policy of its own may do what both that and the role's allow.
    fn session(&self, wanted: &Wanted) -> String {
        let Upstream { account, clock, random, sessions, .. } = &self.config.around.upstream;
        let Wanted { role, name, policy, seconds } = wanted;
        let text = |length, alphabet: &str| -> String {
            let letters: Vec<char> = alphabet.chars().collect();
            (0..length).map(|_| letters[random.range(0..letters.len())]).collect()
        };
        // IAM user guide, "IAM identifiers", unique ids and their prefixes.
        let role_id = {
            let mut ids = self.role_ids.lock().expect("no thread panics while it holds the ids");
            ids.entry(role.clone()).or_insert_with(|| format!("AROA{}", text(17, UPPER))).clone()
        };
        let key = format!("ASIA{}", text(16, UPPER));
        let (secret, token) = (text(40, MIXED), text(356, MIXED));
        let expiration = clock.now() + Duration::from_secs(*seconds);
        let short = role.rsplit('/').next().unwrap_or_default();
        let arn = format!("arn:aws:sts::{account}:assumed-role/{short}/{name}");
        sessions.add(Session {
            arn: arn.clone(),
            role_arn: role.clone(),
            name: name.clone(),
            credentials: Credentials::new(&key, &secret, Some(token.clone()), Some(expiration.into()), "STS"),
            // It has been read before.
            policy: policy.as_deref().and_then(|policy| Policy::parse(policy).ok()).map(Arc::new),
        });
        format!(
            "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{expiration:.0}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>{role_id}:{name}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>"
        )
    }
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const MIXED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[async_trait]
impl Service for Sts {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let Surroundings { upstream, guard, calls } = &self.config.around;
        upstream.clock.sleep(ANSWER).await;
        let request_id = upstream.random.uuid().to_string();
        let mut form: Form = form_urlencoded::parse(request.body()).into_owned().collect();
        let role = form.get("RoleArn").map_or("*", String::as_str).to_owned();
        let action = form.remove("Action").unwrap_or_default();
        let version = form.remove("Version").unwrap_or_default();
        let (caller, result) = match guard.authenticate("sts", &request).await {
            Ok(caller) if (action.as_str(), version.as_str()) == ("AssumeRole", VERSION) => {
                let result = self.assume_role(&caller, form).await;
                (caller.arn, result)
            }
            Ok(caller) => {
                let message = format!("Could not find operation {action} for version {version}");
                (caller.arn, Err(ApiError::new("InvalidAction", message)))
            }
            Err(refusal) => (String::new(), Err(refusal.into())),
        };
        let outcome = result.as_ref().map_or_else(|error| error.code, |_| "OK");
        calls.record(&format!("sts:{action}"), &caller, &role, outcome);
        let (status, body) = match result {
            Ok(result) => (
                StatusCode::OK,
                format!(
                    "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\"><{action}Result>{result}\
                     </{action}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
                     </{action}Response>"
                ),
            ),
            Err(ApiError { code, message }) => (status(code), error_document(code, &message, &request_id)),
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "text/xml")
            .header("x-amzn-requestid", request_id)
            .body(body.into())
            .expect("the headers are valid")
    }
}

/// The fields of a request of the AWS Query protocol.
type Form = BTreeMap<String, String>;

/// What a caller wants.
struct Wanted {
    role: String,
    name: String,
    policy: Option<String>,
    seconds: u64,
}

impl Wanted {
    fn read(mut form: Form) -> Result<Self, ApiError> {
        let role = required(&mut form, "RoleArn")?;
        check_length("roleArn", &role, &ARN_LENGTH)?;
        let name = required(&mut form, "RoleSessionName")?;
        check_length("roleSessionName", &name, &SESSION_NAME_LENGTH)?;
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)) {
            return Err(unsatisfied(
                "roleSessionName",
                &name,
                r"Member must satisfy regular expression pattern: [\w+=,.@-]*",
            ));
        }
        let policy = form.remove("Policy");
        if let Some(policy) = &policy {
            check_length("policy", policy, &POLICY_LENGTH)?;
            if !policy.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}')) {
                let pattern =
                    r"Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+";
                return Err(unsatisfied("policy", policy, pattern));
            }
        }
        let seconds = match form.remove("DurationSeconds") {
            None => HOUR,
            Some(text) => {
                let seconds = text.parse().map_err(|_| unsatisfied("durationSeconds", &text, "a number"))?;
                if seconds < *DURATION.start() {
                    let least =
                        format!("Member must have value greater than or equal to {}", DURATION.start());
                    return Err(unsatisfied("durationSeconds", &text, &least));
                }
                if seconds > *DURATION.end() {
                    let most = format!("Member must have value less than or equal to {}", DURATION.end());
                    return Err(unsatisfied("durationSeconds", &text, &most));
                }
                seconds
            }
        };
        match form.into_keys().next() {
            // What AWS knows and this does not, so that nothing is ignored.
            Some(field) => Err(ApiError::validation(format!("the simulated STS does not support {field}"))),
            None => Ok(Self { role, name, policy, seconds }),
        }
    }
}

fn required(form: &mut Form, name: &str) -> Result<String, ApiError> {
    let member = format!("{}{}", name[..1].to_lowercase(), &name[1..]);
    form.remove(name).ok_or_else(|| unsatisfied(&member, "null", "Member must not be null"))
}

fn check_length(name: &str, value: &str, lengths: &RangeInclusive<usize>) -> Result<(), ApiError> {
    let length = value.chars().count();
    if length < *lengths.start() {
        let least = format!("Member must have length greater than or equal to {}", lengths.start());
        return Err(unsatisfied(name, value, &least));
    }
    if length > *lengths.end() {
        let most = format!("Member must have length less than or equal to {}", lengths.end());
        return Err(unsatisfied(name, value, &most));
    }
    Ok(())
}

/// In the words in which AWS's services refuse what their models do not allow.
fn unsatisfied(name: &str, value: &str, constraint: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: {constraint}"
    ))
}

/// An error as STS answers it.
#[derive(Debug)]
struct ApiError {
    code: &'static str,
    message: String,
}

impl ApiError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code.in_query(), refusal.message)
    }
}

/// Source: STS API Reference, "Common Errors", and the errors of `AssumeRole`.
fn status(code: &str) -> StatusCode {
    match code {
        "AccessDenied" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sts::Client;
    use aws_sdk_sts::error::ProvideErrorMetadata;
    use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
    use serde_json::json;

    use super::*;
    use crate::bench::{ACCOUNT, Bench, ROLE};

    const DATA: &str = "arn:aws:iam::123456789012:role/Data";
    const POLICY: &str =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

    /// Roles that trust what their names say.
    fn trust(role: &str) -> Option<Value> {
        let principal = match role.rsplit('/').next()? {
            "Data" => json!({ "AWS": [ROLE] }),
            "Account" => json!({ "AWS": format!("arn:aws:iam::{ACCOUNT}:root") }),
            "Tasks" => json!({ "Service": "ecs-tasks.amazonaws.com" }),
            _ => return None,
        };
        let statement = json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" });
        Some(json!({ "Version": "2012-10-17", "Statement": [statement] }))
    }

    fn sts(bench: &Bench) -> Sts {
        Sts::new(Config { around: bench.around.clone(), trust: Arc::new(trust) })
    }

    fn allow() -> Value {
        json!({ "Effect": "Allow", "Action": ACTION, "Resource": format!("arn:aws:iam::{ACCOUNT}:role/*") })
    }

    fn assume(client: &Client, role: &str) -> AssumeRoleFluentBuilder {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        client.assume_role().role_arn(role).role_session_name("dispatch-job")
    }

    async fn refusal(call: AssumeRoleFluentBuilder) -> (String, String) {
        let error = call.send().await.expect_err("it is refused");
        (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn the_root_assumes_for_a_service_and_the_session_is_known() {
        let bench = Bench::new(&json!([]));
        let sts = sts(&bench);
        let client = Client::new(&bench.root(sts.clone()));
        let began = bench.around.upstream.clock.now();
        let given = assume(&client, "Tasks").send().await.expect("a session");
        assert_eq!(bench.around.upstream.clock.now().duration_since(began).as_millis(), 200);
        let user = given.assumed_role_user.expect("a user");
        assert_eq!(user.arn, "arn:aws:sts::123456789012:assumed-role/Tasks/dispatch-job");
        assert!(user.assumed_role_id.starts_with("AROA") && user.assumed_role_id.ends_with(":dispatch-job"));
        let keys = given.credentials.expect("keys");
        assert_eq!(keys.expiration.secs(), bench.around.upstream.clock.now().as_second() + 3_600);
        // Who signs with them is recognised, and may nothing.
        let keys =
            Credentials::from_keys(keys.access_key_id, keys.secret_access_key, Some(keys.session_token));
        let (code, message) = refusal(assume(&Client::new(&bench.client(sts, keys)), "Data")).await;
        assert_eq!(code, "AccessDenied");
        assert_eq!(
            message,
            format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {DATA}", user.arn)
        );
        assert_eq!(
            bench.calls(),
            [
                ["sts:AssumeRole", &DATA.replace("Data", "Tasks"), "OK"],
                ["sts:AssumeRole", DATA, "AccessDenied"]
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_roles_trust_and_the_callers_rights_decide() {
        let deny = json!({ "Effect": "Deny", "Action": "sts:*", "Resource": "*" });
        for (statements, may) in [
            (json!([allow()]), ["Data", "Account"].as_slice()),
            (json!([]), &["Data"]),
            (json!([allow(), deny]), &[]),
        ] {
            let bench = Bench::new(&statements);
            let client = Client::new(&bench.role(sts(&bench)));
            for role in ["Data", "Account", "Tasks", "Gone"] {
                let assumed = assume(&client, role).send().await;
                assert_eq!(assumed.is_ok(), may.contains(&role), "{role} with {statements}: {assumed:?}");
                if let Err(error) = assumed {
                    assert_eq!(error.code(), Some("AccessDenied"), "{error:?}");
                }
            }
        }
        let bench = Bench::new(&json!([]));
        let root = Client::new(&bench.root(sts(&bench)));
        for role in ["Data", "Account", "Gone"] {
            assert_eq!(refusal(assume(&root, role)).await.0, "AccessDenied", "{role}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_policy_is_packed_into_less_than_it_may_have() {
        let bench = Bench::new(&json!([allow()]));
        let client = Client::new(&bench.role(sts(&bench)));
        let padded =
            |length: usize| POLICY.replace("\"*\"}}", &format!("\"arn:{}\"}}}}", "k".repeat(length)));
        assume(&client, "Data").policy(POLICY).send().await.expect("a session");
        let error = assume(&client, "Data").policy(padded(1_000)).send().await.expect_err("too large");
        assert!(error.as_service_error().is_some_and(|error| error.is_packed_policy_too_large_exception()));
        assert!(error.message().is_some_and(|message| message.contains("consumes 109%")), "{error:?}");
        let (code, message) = refusal(assume(&client, "Data").policy(padded(2_048))).await;
        assert_eq!(code, "ValidationError");
        assert!(message.ends_with("length less than or equal to 2048"), "{message}");
        let error = assume(&client, "Data").policy("{}").send().await.expect_err("no policy");
        assert!(error.as_service_error().is_some_and(|error| error.is_malformed_policy_document_exception()));
        let (code, _) = refusal(assume(&client, "Data").policy(POLICY.replace('*', "\u{100}"))).await;
        assert_eq!(code, "ValidationError");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_with_a_policy_may_not_do_what_its_role_may_not() {
        let bench = Bench::new(&json!([allow()]));
        let sts = sts(&bench);
        let client = Client::new(&bench.role(sts.clone()));
        let keys = assume(&client, "Data").policy(POLICY).send().await.expect("a session").credentials;
        let keys = keys.expect("keys");
        let keys =
            Credentials::from_keys(keys.access_key_id, keys.secret_access_key, Some(keys.session_token));
        let (code, _) = refusal(assume(&Client::new(&bench.client(sts, keys)), "Data")).await;
        assert_eq!(code, "AccessDenied");
    }

    #[tokio::test(start_paused = true)]
    async fn parameters_are_within_their_bounds() {
        let bench = Bench::new(&json!([allow()]));
        let role = Client::new(&bench.role(sts(&bench)));
        let root = Client::new(&bench.root(sts(&bench)));
        assume(&role, "Data").duration_seconds(900).send().await.expect("a quarter of an hour");
        for (call, words) in [
            (assume(&role, "Data").duration_seconds(899), "greater than or equal to 900"),
            (assume(&role, "Data").duration_seconds(43_201), "less than or equal to 43200"),
            (assume(&role, "Data").duration_seconds(3_601), "by role chaining"),
            (assume(&root, "Tasks").duration_seconds(3_601), "MaxSessionDuration"),
            (assume(&role, "Data").role_session_name("a"), "'roleSessionName'"),
            (assume(&role, "Data").role_session_name("a b"), "regular expression"),
            (assume(&role, "Data").role_arn("short"), "'roleArn'"),
            (assume(&role, "Data").external_id("1234"), "ExternalId"),
        ] {
            let (code, message) = refusal(call).await;
            assert_eq!(code, "ValidationError", "{message}");
            assert!(message.contains(words), "{message}");
        }
        let stranger = Credentials::from_keys("AKIASTRANGER", "secret", None);
        let stranger = Client::new(&bench.client(sts(&bench), stranger));
        assert_eq!(refusal(assume(&stranger, "Data")).await.0, "InvalidClientTokenId");
        let error = root.get_caller_identity().send().await.expect_err("nobody asks for it");
        assert_eq!(error.code(), Some("InvalidAction"));
    }
}
