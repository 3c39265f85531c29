//! Asynchronous invocations, which wait in Lambda's own queue: Lambda developer guide, "How Lambda handles errors and retries
//! with asynchronous invocation".

use std::time::Duration;

use crate::bus::retry::Retry;
use crate::bus::{Bus, Run};

/// The waits before a function that has failed is run again.
const AFTER_FAILURE: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

/// How long an invocation that is throttled is tried again, from 1 second to 5 minutes apart.
const AGE: Duration = Duration::from_hours(6);

impl Bus {
    /// Puts an invocation in the queue of a function. One that has failed too often, or is too old, is dropped: the template has
    /// no dead-letter queue and no destination for any function.
    pub(super) fn invoke_asynchronously(&self, function: &str, payload: &str) {
        let (bus, function, payload) = (self.clone(), function.to_owned(), payload.to_owned());
        tokio::spawn(async move {
            let mut throttled = Retry::within(&bus.config.around.upstream, AGE);
            let mut waits = AFTER_FAILURE.into_iter();
            let why = loop {
                match bus.config.targets.run(&function, &payload).await {
                    Run::Done => return,
                    Run::Threw(error) => match waits.next() {
                        Some(wait) => bus.config.around.upstream.clock.sleep(wait).await,
                        None => break error,
                    },
                    Run::Throttled if !throttled.again().await => break "it was throttled".to_owned(),
                    Run::Throttled => {}
                }
            };
            bus.drop_input(&function, payload, why);
        });
    }
}
