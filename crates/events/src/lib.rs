//! What the functions share that tell others of a service: the event `Mayfly Service Ready`.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use mayfly_lambda::Environment;
use mayfly_lambda::error::Error;
use mayfly_model::service::{EVENT_SOURCE, READY, Ready};

/// The account's default event bus.
pub struct Bus(Client);

impl Bus {
    /// The bus that the function's role may put events on.
    pub fn new(environment: &Environment) -> Self {
        Self(Client::new(environment.sdk()))
    }

    /// Says where and until when a service can be called.
    ///
    /// # Errors
    /// As [`Error::aws`], and [`Error::Unavailable`] where EventBridge has not taken the event.
    pub async fn announce(&self, ready: &Ready) -> Result<(), Error> {
        const DOING: &str = "say that the service is ready";
        let detail = serde_json::to_string(ready).map_err(|error| Error::internal(DOING, error))?;
        let entry = PutEventsRequestEntry::builder().source(EVENT_SOURCE).detail_type(READY).detail(detail);
        let put = self.0.put_events().entries(entry.event_bus_name("default").build());
        let put = put.send().await.map_err(Error::aws(DOING))?;
        // The call succeeds all the same. Source: EventBridge API Reference, `PutEvents`, `FailedEntryCount`.
        let refused =
            put.entries().iter().find_map(|entry| Some((entry.error_code()?, entry.error_message()?)));
        if let Some((code, message)) = refused {
            return Err(Error::unavailable(DOING, format!("{code}: {message}")));
        }
        tracing::info!(ready.job, ?ready.addresses, ready.url, ready.end, "service announced");
        Ok(())
    }
}
