//! IAM policy documents and their evaluation, as the IAM user guide describes it under "Policy evaluation logic",
//! "IAM JSON policy elements" and "Condition operators": an explicit Deny wins, then an Allow, then nothing is allowed.
//!
//! Own code, because the evaluators on crates.io do not fit: iam-rs calls itself unverified and takes only ARNs as
//! resources (`*` is what an action without resource-level rights has), scratchstack-aspen has no set operators.
//! What is not implemented here is an error that names it, never an Allow and never a silent no.

mod condition;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::glob::Glob;

use condition::{Operator, any, glob};

/// The condition keys of one request (`aws:RequestTag/…`, `aws:ResourceTag/…`, `ecs:cluster`, …) and their values.
/// Keys compare without regard to case, as in IAM.
pub type Context = BTreeMap<String, Vec<String>>;

/// What a set of policies says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitlyDenied,
    /// No statement speaks of it, which is a no.
    ImplicitlyDenied,
}

/// A part of a policy that this evaluator does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the local cloud cannot evaluate this policy: {0}")]
pub struct Unsupported(String);

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: String,
    #[serde(rename = "Id")]
    _id: Option<String>,
    // One or several, not yet typed, so that an error names what is wrong in a statement.
    statement: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    principal: Option<Value>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: serde_json::Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// One request, as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `ecs:CreateService`.
    pub action: &'a str,
    /// An ARN, or `*` for an action that has no resource-level rights.
    pub resource: &'a str,
    /// The condition keys and their values.
    pub context: &'a Context,
}

/// What identity-based `policies` say about `request`.
///
/// # Errors
/// When a statement that speaks of the request's action and resource uses something that is not implemented.
pub fn evaluate(policies: &[Policy], request: Request<'_>) -> Result<Decision, Unsupported> {
    let mut decision = Decision::ImplicitlyDenied;
    for statement in policies.iter().flat_map(|policy| &policy.statements) {
        if statement.principal.is_some() {
            return Err(Unsupported("an identity-based policy has no Principal".into()));
        }
        if statement.applies(request)? {
            match statement.effect {
                Effect::Deny => return Ok(Decision::ExplicitlyDenied),
                Effect::Allow => decision = Decision::Allowed,
            }
        }
    }
    Ok(decision)
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is not a policy, or has an element that is not implemented.
    pub fn parse(document: &str) -> Result<Self, Unsupported> {
        let unreadable = |error: serde_json::Error| Unsupported(error.to_string());
        let document: Document = serde_json::from_str(document).map_err(unreadable)?;
        // In the older version `${…}` is plain text (IAM JSON policy elements: Version).
        if document.version != "2012-10-17" {
            return Err(Unsupported(format!("Version {} (only 2012-10-17)", document.version)));
        }
        let one = std::slice::from_ref(&document.statement);
        let statements = document.statement.as_array().map_or(one, Vec::as_slice);
        let statements: Vec<Statement> =
            statements.iter().map(Statement::deserialize).collect::<Result<_, _>>().map_err(unreadable)?;
        for statement in &statements {
            if statement.action.is_some() == statement.not_action.is_some() {
                return Err(Unsupported("a statement has either Action or NotAction".into()));
            }
            if statement.resource.is_some() && statement.not_resource.is_some() {
                return Err(Unsupported("a statement has either Resource or NotResource".into()));
            }
        }
        Ok(Self { statements })
    }

    /// Whether this resource-based policy lets the AWS service `service` (`events.amazonaws.com`) make `request`.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn admits_service(&self, service: &str, request: Request<'_>) -> Result<bool, Unsupported> {
        self.admits(request, |kind, name| name == "*" || (kind == "Service" && name == service))
    }

    /// Whether this resource-based policy lets any AWS service at all make `request`.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn admits_some_service(&self, request: Request<'_>) -> Result<bool, Unsupported> {
        self.admits(request, |kind, _| kind == "Service")
    }

    /// Whether this resource-based policy lets the principal `arn` of an account make `request`; a role's ARN is for its
    /// sessions too, and that of the account's root for whomever the account's own policies let do it.
    /// Source: IAM user guide, "AWS JSON policy elements: Principal".
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn admits_principal(&self, arn: &str, request: Request<'_>) -> Result<bool, Unsupported> {
        self.admits(request, |kind, name| name == "*" || (kind == "AWS" && name == arn))
    }

    /// Whether it lets a principal make `request`, whose kind and name are `who`.
    fn admits(&self, request: Request<'_>, who: impl Fn(&str, &str) -> bool) -> Result<bool, Unsupported> {
        let mut allowed = false;
        for statement in &self.statements {
            if statement.names(&who) && statement.applies(request)? {
                if statement.effect == Effect::Deny {
                    return Ok(false);
                }
                allowed = true;
            }
        }
        Ok(allowed)
    }
}

impl Statement {
    fn names(&self, who: impl Fn(&str, &str) -> bool) -> bool {
        match &self.principal {
            Some(Value::String(anyone)) => anyone == "*" && who("AWS", anyone),
            Some(Value::Object(kinds)) => kinds.iter().any(|(kind, names)| {
                let named = |name: &Value| name.as_str().is_some_and(|name| who(kind, name));
                names.as_array().map_or_else(|| named(names), |names| names.iter().any(named))
            }),
            _ => false,
        }
    }

    /// Whether the statement speaks of the request: action, resource and every condition fit.
    fn applies(&self, request: Request<'_>) -> Result<bool, Unsupported> {
        // Actions compare without regard to case (IAM JSON policy elements: Action).
        let action = request.action.to_lowercase();
        let is_action = |pattern: &String| Glob::new(&pattern.to_lowercase()).matches(&action);
        let acts = match (&self.action, &self.not_action) {
            (Some(actions), _) => actions.as_slice().iter().any(is_action),
            (None, Some(others)) => !others.as_slice().iter().any(is_action),
            (None, None) => false,
        };
        if !acts {
            return Ok(false);
        }
        let is_resource = |pattern: &String| -> Result<bool, Unsupported> {
            Ok(glob(pattern, request.context)?.is_some_and(|glob| glob.matches(request.resource)))
        };
        let on_resource = match (&self.resource, &self.not_resource) {
            (Some(resources), _) => any(resources.as_slice(), is_resource)?,
            (None, Some(others)) => !any(others.as_slice(), is_resource)?,
            // Only a policy that hangs on one resource may leave it out.
            (None, None) => self.principal.is_some(),
        };
        if !on_resource {
            return Ok(false);
        }
        for (operator, block) in &self.condition {
            let operator = Operator::parse(operator)?;
            let block = block.as_object().ok_or_else(|| Unsupported("a condition is an object".into()))?;
            for (key, expected) in block {
                if !operator.holds(key, expected, request.context)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "arn:aws:ecs:eu-west-1:111122223333:cluster/mayfly-a";

    fn context(keys: &[(&str, &[&str])]) -> Context {
        keys.iter()
            .map(|(key, values)| {
                ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect()
    }

    fn decide(statements: &str, resource: &str, keys: &[(&str, &[&str])]) -> Result<Decision, Unsupported> {
        let policy = Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#))?;
        let context = context(keys);
        evaluate(&[policy], Request { action: "ecs:DeleteCluster", resource, context: &context })
    }

    #[test]
    fn actions_and_resources_decide_and_a_deny_wins() {
        use Decision::{Allowed, ExplicitlyDenied, ImplicitlyDenied};
        for (statements, decision) in [
            (r#"{"Effect":"Allow","Action":"ecs:DeleteCluster","Resource":"*"}"#, Allowed),
            (
                r#"[{"Effect":"Allow","Action":["ECS:delete*"],"Resource":["arn:aws:ecs:*:*:cluster/mayfly-?"]}]"#,
                Allowed,
            ),
            (r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecs:*:*:service/*"}"#, ImplicitlyDenied),
            (r#"{"Effect":"Allow","Action":"ecs:Describe*","Resource":"*"}"#, ImplicitlyDenied),
            (r#"{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}"#, Allowed),
            (r#"{"Effect":"Allow","NotAction":"ecs:*","Resource":"*"}"#, ImplicitlyDenied),
            (r#"{"Effect":"Allow","Action":"ecs:*","NotResource":"arn:aws:ecs:*:*:cluster/prod"}"#, Allowed),
            (r#"{"Effect":"Allow","Action":"ecs:*","NotResource":"*/mayfly-a"}"#, ImplicitlyDenied),
            (
                r#"[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ecs:D*","Resource":"*"}]"#,
                ExplicitlyDenied,
            ),
        ] {
            assert_eq!(decide(statements, CLUSTER, &[]), Ok(decision), "{statements}");
        }
    }

    #[test]
    fn an_action_without_resource_level_rights_needs_a_star() {
        let on = |resource| format!(r#"{{"Effect":"Allow","Action":"ecs:*","Resource":"{resource}"}}"#);
        assert_eq!(decide(&on("*"), "*", &[]), Ok(Decision::Allowed));
        assert_eq!(decide(&on("arn:aws:ecs:*"), "*", &[]), Ok(Decision::ImplicitlyDenied));
    }

    #[test]
    fn conditions_hold_as_the_user_guide_says() {
        const TAG: &str = "aws:ResourceTag/team";
        const KEYS: &str = "aws:TagKeys";
        for (condition, keys, holds) in [
            (r#"{"StringEquals":{"aws:resourcetag/TEAM":"a"}}"#, &[(TAG, &["a"][..])][..], true),
            (r#"{"StringEquals":{"aws:ResourceTag/team":["b","a"]}}"#, &[(TAG, &["a"])], true),
            (r#"{"StringEquals":{"aws:ResourceTag/team":"A"}}"#, &[(TAG, &["a"])], false),
            (r#"{"StringEquals":{"aws:ResourceTag/team":"a"}}"#, &[], false),
            (r#"{"StringEquals":{"aws:ResourceTag/team":"*"}}"#, &[(TAG, &["a"])], false),
            (r#"{"StringEqualsIfExists":{"aws:ResourceTag/team":"a"}}"#, &[], true),
            (r#"{"StringEqualsIfExists":{"aws:ResourceTag/team":"a"}}"#, &[(TAG, &["b"])], false),
            (r#"{"StringEqualsIgnoreCase":{"aws:ResourceTag/team":"A"}}"#, &[(TAG, &["a"])], true),
            (r#"{"StringNotEquals":{"aws:ResourceTag/team":["a","b"]}}"#, &[(TAG, &["b"])], false),
            (r#"{"StringNotEquals":{"aws:ResourceTag/team":["a","b"]}}"#, &[(TAG, &["c"])], true),
            (r#"{"StringNotEquals":{"aws:ResourceTag/team":"a"}}"#, &[], true),
            (r#"{"StringLike":{"aws:ResourceTag/team":"me*a"}}"#, &[(TAG, &["media"])], true),
            (r#"{"StringLike":{"aws:ResourceTag/team":"me${*}a"}}"#, &[(TAG, &["media"])], false),
            (r#"{"StringNotLike":{"aws:ResourceTag/team":"me*"}}"#, &[(TAG, &["media"])], false),
            (r#"{"Null":{"aws:ResourceTag/team":"true"}}"#, &[], true),
            (r#"{"Null":{"aws:ResourceTag/team":false}}"#, &[], false),
            (r#"{"Null":{"aws:ResourceTag/team":"false"}}"#, &[(TAG, &["a"])], true),
            (r#"{"Bool":{"aws:ViaAWSService":"true"}}"#, &[("aws:ViaAWSService", &["TRUE"])], true),
            (r#"{"Bool":{"aws:ViaAWSService":false}}"#, &[("aws:ViaAWSService", &["true"])], false),
            (
                r#"{"ArnLike":{"ecs:cluster":"arn:aws:ecs:*:*:cluster/may*"}}"#,
                &[("ecs:cluster", &[CLUSTER])],
                true,
            ),
            (
                r#"{"ArnEquals":{"ecs:cluster":"arn:*:cluster/mayfly-a"}}"#,
                &[("ecs:cluster", &[CLUSTER])],
                false,
            ),
            (
                r#"{"ArnNotLike":{"ecs:cluster":"arn:aws:ecs:*:*:service/*"}}"#,
                &[("ecs:cluster", &[CLUSTER])],
                true,
            ),
            (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}"#, &[(KEYS, &["a", "b"])], true),
            (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}"#, &[(KEYS, &["a", "c"])], false),
            (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}"#, &[], true),
            (r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":"a"}}"#, &[(KEYS, &["b", "c"])], true),
            (r#"{"ForAnyValue:StringLike":{"aws:TagKeys":"a*"}}"#, &[(KEYS, &["b", "ab"])], true),
            (r#"{"ForAnyValue:StringLike":{"aws:TagKeys":"a*"}}"#, &[(KEYS, &["b"])], false),
            (r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"a"}}"#, &[], false),
            (
                r#"{"StringEquals":{"aws:ResourceTag/team":"a","aws:RequestedRegion":"x"}}"#,
                &[(TAG, &["a"])],
                false,
            ),
        ] {
            let statement =
                format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}"#);
            let wanted = if holds { Decision::Allowed } else { Decision::ImplicitlyDenied };
            assert_eq!(decide(&statement, CLUSTER, keys), Ok(wanted), "{condition} with {keys:?}");
        }
    }

    #[test]
    fn policy_variables_stand_for_plain_text() {
        let statement = r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecs:*:*:cluster/${aws:PrincipalTag/name}"}"#;
        let with = |value| decide(statement, CLUSTER, &[("aws:PrincipalTag/name", &[value])]);
        assert_eq!(with("mayfly-a"), Ok(Decision::Allowed));
        assert_eq!(with("*"), Ok(Decision::ImplicitlyDenied));
        assert_eq!(decide(statement, CLUSTER, &[]), Ok(Decision::ImplicitlyDenied));
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        for (statement, name) in [
            (
                r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"::"}}}"#,
                "IpAddress",
            ),
            (
                r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"a":"b"}}}"#,
                "DateLessThan",
            ),
            (r#"{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}"#, "Principal"),
            (r#"{"Effect":"Allow","Action":"*","Resource":"*","NotPrincipal":"*"}"#, "NotPrincipal"),
            (r#"{"Effect":"Allow","Action":"*","Resource":"${aws:username, 'x'}"}"#, "default"),
            (r#"{"Effect":"Allow","Resource":"*"}"#, "Action"),
            (
                r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:TagKeys":"a"}}}"#,
                "ForAllValues",
            ),
        ] {
            let error = decide(statement, CLUSTER, &[("aws:TagKeys", &["a", "b"])]).expect_err(statement);
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Policy::parse(r#"{"Version":"2008-10-17","Statement":[]}"#).is_err());
    }

    #[test]
    fn an_operator_that_cannot_matter_is_no_obstacle() {
        let statements = r#"[
            {"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"NumericLessThan":{"s3:max-keys":"1"}}},
            {"Effect":"Allow","Action":"ecs:*","Resource":"*"}
        ]"#;
        assert_eq!(decide(statements, CLUSTER, &[]), Ok(Decision::Allowed));
    }

    #[test]
    fn a_resource_policy_admits_the_service_it_names() {
        let policy = |principal: &str| {
            Policy::parse(&format!(
                r#"{{"Version":"2012-10-17","Id":"default","Statement":[{{"Sid":"1","Effect":"Allow",
                    "Principal":{principal},"Action":"lambda:InvokeFunction","Resource":"arn:f",
                    "Condition":{{"ArnLike":{{"AWS:SourceArn":"arn:aws:events:r:a:rule/x"}}}}}}]}}"#
            ))
            .expect("a policy")
        };
        let admits = |principal: &str, rule: &str| {
            let context = context(&[("aws:SourceArn", &[rule])]);
            let request = Request { action: "lambda:InvokeFunction", resource: "arn:f", context: &context };
            policy(principal).admits_service("events.amazonaws.com", request)
        };
        assert_eq!(admits(r#"{"Service":"events.amazonaws.com"}"#, "arn:aws:events:r:a:rule/x"), Ok(true));
        assert_eq!(
            admits(r#"{"Service":["a","events.amazonaws.com"]}"#, "arn:aws:events:r:a:rule/x"),
            Ok(true)
        );
        assert_eq!(admits(r#"{"Service":"events.amazonaws.com"}"#, "arn:aws:events:r:a:rule/y"), Ok(false));
        assert_eq!(admits(r#"{"Service":"s3.amazonaws.com"}"#, "arn:aws:events:r:a:rule/x"), Ok(false));
        assert_eq!(admits(r#""*""#, "arn:aws:events:r:a:rule/x"), Ok(true));
    }

    #[test]
    fn a_resource_policy_admits_the_principals_it_names_unless_it_denies_them() {
        let policy = |statements: &str| {
            Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#))
                .expect("a policy")
        };
        let allow = |principal: &str| {
            format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}"#)
        };
        let context = Context::new();
        let request = Request { action: "sts:AssumeRole", resource: "arn:data", context: &context };
        let roles = policy(&allow(r#"{"AWS":["arn:one","arn:two"]}"#));
        assert_eq!(roles.admits_principal("arn:two", request), Ok(true));
        assert_eq!(roles.admits_principal("arn:three", request), Ok(false));
        assert_eq!(roles.admits_some_service(request), Ok(false));
        let service = policy(&allow(r#"{"Service":"ecs-tasks.amazonaws.com"}"#));
        assert_eq!(service.admits_some_service(request), Ok(true));
        assert_eq!(service.admits_principal("ecs-tasks.amazonaws.com", request), Ok(false));
        let deny = r#"{"Effect":"Deny","Principal":{"AWS":"arn:one"},"Action":"sts:*"}"#;
        let both = policy(&format!("{},{deny}", allow(r#""*""#)));
        assert_eq!(both.admits_principal("arn:one", request), Ok(false));
        assert_eq!(both.admits_principal("arn:two", request), Ok(true));
    }
}
