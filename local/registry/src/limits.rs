//! How much may be pulled.

use http::StatusCode;

use crate::access::Caller;
use crate::error::ApiError;
use crate::{Kind, Registry};

impl Registry {
    /// Counts the pull of a manifest, which is what Docker Hub counts.
    /// Source: github.com/containers/image/pull/1078; words: github.com/docker/hub-feedback/issues/2464.
    pub(crate) fn count_pull(&self, caller: Caller) -> Result<(), ApiError> {
        let Kind::Public { pulls, .. } = self.kind else { return Ok(()) };
        let mut state = self.state();
        if caller == Caller::Anybody {
            if state.pulls == pulls {
                return Err(ApiError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "TOOMANYREQUESTS",
                    "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
                ));
            }
            state.pulls += 1;
        }
        Ok(())
    }
}
