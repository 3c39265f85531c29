//! Client tokens: the same create call twice makes one resource (EC2 developer guide, "Ensuring idempotency").

use crate::State;
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::parameters::Parameters;

/// The token of a create call, and what the call asked for. It is known for as long as the resource is, which AWS does
/// not document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientToken {
    value: String,
    asked: Parameters,
}

impl ClientToken {
    /// Takes the token of a call of which nothing else has been taken yet; `None` for a call without one.
    pub fn take(parameters: &mut Parameters) -> Result<Option<Self>, ApiError> {
        let Some(value) = parameters.take("ClientToken") else { return Ok(None) };
        // "up to 64 ASCII characters" (same page).
        if value.is_empty() || value.len() > 64 || !value.is_ascii() {
            let expected = "It must be 1 to 64 ASCII characters.";
            return Err(ApiError::invalid_value("ClientToken", &value, expected));
        }
        Ok(Some(Self { value, asked: parameters.clone() }))
    }

    /// The token itself, for the answers that repeat it.
    pub fn into_value(self) -> String {
        self.value
    }

    /// Whether the call with `token` is a repetition of the one with this.
    ///
    /// # Errors
    /// `IdempotentParameterMismatch` when it has this token and asks for something else.
    fn is_repeated_by(&self, token: &Self) -> Result<bool, ApiError> {
        if self.value != token.value {
            return Ok(false);
        }
        if self.asked != token.asked {
            let message = "The client token you have provided is associated with a resource for which the parameters \
                           are different.";
            return Err(ApiError::new("IdempotentParameterMismatch", message));
        }
        Ok(true)
    }
}

/// A kind of resource whose create call takes a token.
pub trait Repeatable: Kind {
    fn token(&self) -> Option<&ClientToken>;
}

/// What an earlier call with the same token has made, else what `make` makes.
pub fn once<T: Repeatable>(
    state: &mut State,
    token: Option<&ClientToken>,
    make: impl FnOnce(&mut State) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    for earlier in T::table(state).seen_by_ec2() {
        if let (Some(token), Some(first)) = (token, earlier.token())
            && first.is_repeated_by(token)?
        {
            return Ok(earlier.clone());
        }
    }
    make(state)
}
