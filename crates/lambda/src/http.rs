//! What a step gets by a URL that a service has given it, past the SDK's operations.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::byte_stream::ByteStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connector that the SDK's clients call through as well.
#[derive(Clone, Debug)]
pub struct Http(pub(crate) SharedHttpConnector);

impl Http {
    /// Gets what is at `url`.
    ///
    /// # Errors
    /// Why it could not, in words without the URL, which may be a signed one.
    pub async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        timeout(PATIENCE, self.answer(url)).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn answer(&self, url: &str) -> Result<Vec<u8>, String> {
        let request = Request::get(url).map_err(|_| "its URL is malformed".to_owned())?;
        let answer = self.0.call(request).await.map_err(|_| "the connection has failed".to_owned())?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("the answer was {}", status.as_u16()));
        }
        let body = ByteStream::new(answer.into_body()).collect().await;
        Ok(body.map_err(|_| "the answer broke off".to_owned())?.into_bytes().into())
    }
}
