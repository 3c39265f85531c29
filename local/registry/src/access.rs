//! Who is asking, and for what.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::{Kind, Registry};

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody without an account.
    Anybody,
    /// Somebody with an account.
    Known,
}

/// What a token of the public registry is good for.
#[derive(Clone, Debug)]
pub struct Token {
    caller: Caller,
    /// The repository that may be read with it, if any.
    repository: Option<String>,
}

impl Registry {
    /// Who sends these headers to the registry at `host`, and whether he may read, or write, `repository`. None stands for
    /// the registry itself.
    pub(crate) fn admit(
        &self,
        host: &str,
        headers: &HeaderMap,
        repository: Option<&str>,
        is_write: bool,
    ) -> Result<Caller, ApiError> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match &self.kind {
            // Source: ECR user guide, "Private registry authentication": user AWS, by HTTP's basic scheme. The challenge:
            // github.com/podman-desktop/podman-desktop/issues/642. The body is no JSON in ECR
            // (github.com/mdlavin/copy-docker-image/issues/5), and nobody here reads it.
            Kind::Account { password, .. } => {
                let Some(given) = given else {
                    return Err(ApiError {
                        challenge: Some(format!(
                            "Basic realm=\"https://{host}/\",service=\"ecr.amazonaws.com\""
                        )),
                        ..ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Not Authorized")
                    });
                };
                let expected = BASE64_STANDARD.encode(format!("AWS:{password}"));
                if given.strip_prefix("Basic ") == Some(&expected) {
                    return Ok(Caller::Known);
                }
                // The words: github.com/aws/aws-cli/issues/6580; the status: github.com/serverless/serverless/issues/13116.
                let message = "Your authorization token has expired. Reauthenticate and try again.";
                Err(ApiError::new(StatusCode::FORBIDDEN, "DENIED", message))
            }
            // Source: distribution.github.io/distribution/spec/auth/token.
            Kind::Public { .. } => {
                let token = given.and_then(|given| given.strip_prefix("Bearer "));
                let token = token.and_then(|token| self.state().tokens.get(token).cloned());
                match token {
                    Some(Token { caller, repository: of }) if !is_write && of.as_deref() == repository => {
                        Ok(caller)
                    }
                    _ => {
                        let scope = repository
                            .map(|name| format!(",scope=\"repository:{name}:pull\""))
                            .unwrap_or_default();
                        let realm =
                            format!("Bearer realm=\"http://{host}/token\",service=\"registry.docker.io\"");
                        Err(ApiError {
                            challenge: Some(realm + &scope),
                            ..ApiError::new(
                                StatusCode::UNAUTHORIZED,
                                "UNAUTHORIZED",
                                "authentication required",
                            )
                        })
                    }
                }
            }
        }
    }

    /// Gives out a token. One for a repository that the caller may not read, or that is not there, is good for nothing.
    /// Source: distribution.github.io/distribution/spec/auth/token.
    pub(crate) fn give_token(&self, headers: &HeaderMap, query: &str) -> Result<Value, ApiError> {
        let Kind::Public { user, password, .. } = &self.kind else {
            return Err(ApiError::unsupported("tokens of an account's registry"));
        };
        let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let caller = match headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default())
        {
            None => Caller::Anybody,
            Some(given) if given == expected => Caller::Known,
            Some(_) => {
                let message = "incorrect username or password";
                return Err(ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message));
            }
        };
        let scope = query.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap_or_default();
        let scope = scope.replace("%3A", ":").replace("%2F", "/");
        let wanted = scope.strip_prefix("repository:").and_then(|scope| scope.strip_suffix(":pull"));
        let mut state = self.state();
        let is_readable = |name: &&str| {
            let found = state.repositories.get(*name);
            found.is_some_and(|found| caller == Caller::Known || !found.is_private)
        };
        let repository = wanted.filter(is_readable).map(str::to_owned);
        let token = state.new_name();
        state.tokens.insert(token.clone(), Token { caller, repository });
        Ok(json!({ "token": token }))
    }
}
