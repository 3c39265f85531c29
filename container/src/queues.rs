//! By which of its names SQS is called, where more than one is given: AWS's pages contradict each other on the one that has
//! IPv6, so the first that answers is taken.
//! Source: SQS developer guide, "Dual-stack (IPv4 and IPv6) endpoints", and AWS General Reference, "Amazon SQS endpoints and
//! quotas", read in November 2026.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use backon::{ExponentialBuilder, Retryable};
use tracing::{info, warn};
use url::Url;

/// How long a connection may take. One that leads nowhere often fails at once.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take on a connection that is there.
const ANSWER: Duration = Duration::from_secs(10);

/// The first of `endpoints` by which SQS answers for the mailbox; none where none is given. The answer may be a refusal. While
/// none answers it goes on looking: a network may lead nowhere yet, and without orders there is nothing else to do.
pub async fn first_that_answers(config: &SdkConfig, endpoints: &[Url], mailbox: &str) -> Option<Url> {
    if endpoints.is_empty() {
        return None;
    }
    let backoff =
        ExponentialBuilder::new().with_max_delay(Duration::from_secs(30)).with_jitter().without_max_times();
    let look = async || one_that_answers(config, endpoints, mailbox).await.ok_or(());
    look.retry(backoff).await.ok()
}

async fn one_that_answers(config: &SdkConfig, endpoints: &[Url], mailbox: &str) -> Option<Url> {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(CONNECT + ANSWER);
    let config = config.clone().into_builder().timeout_config(timeouts.build());
    let config = config.retry_config(RetryConfig::disabled()).build();
    for endpoint in endpoints {
        let sqs = Client::new(&config.clone().into_builder().endpoint_url(endpoint.as_str()).build());
        // An order that this brings stays where it is.
        let look = sqs.receive_message().queue_url(at(mailbox, endpoint)).visibility_timeout(0);
        match look.send().await {
            Ok(_) | Err(SdkError::ServiceError(_)) => {
                info!(host = endpoint.host_str(), "SQS answers");
                return Some(endpoint.clone());
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                warn!(host = endpoint.host_str(), "SQS does not answer: {error:#}");
            }
        }
    }
    None
}

/// The queue's URL at another of SQS's names.
pub fn at(queue: &str, endpoint: &Url) -> String {
    let moved = Url::parse(queue).ok().and_then(|queue| endpoint.join(queue.path()).ok());
    moved.map_or_else(|| queue.to_owned(), Url::into)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use aws_config::BehaviorVersion;
    use aws_sdk_sqs::config::{Credentials, Region};

    use super::*;

    fn listener() -> (TcpListener, Url) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, Url::parse(&url).unwrap())
    }

    #[tokio::test]
    async fn sqs_is_looked_for_until_one_of_its_names_answers() {
        let (_, refuses) = listener();
        let (late, answers) = listener();
        let server = thread::spawn(move || {
            drop(late.accept().unwrap());
            let (mut connection, _) = late.accept().unwrap();
            _ = connection.read(&mut [0; 4096]).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            connection.write_all(answer.as_bytes()).unwrap();
        });
        let keys = Credentials::new("AKIA", "secret", None, None, "test");
        let config = aws_config::defaults(BehaviorVersion::latest()).region(Region::new("eu-central-1"));
        let config = config.credentials_provider(keys).load().await;
        let mailbox = "https://sqs.eu-central-1.amazonaws.com/123456789012/mailbox";
        let found = first_that_answers(&config, &[refuses, answers.clone()], mailbox).await;
        assert_eq!(found, Some(answers));
        server.join().unwrap();
        assert_eq!(first_that_answers(&config, &[], mailbox).await, None);
    }

    #[test]
    fn a_queue_is_the_same_at_each_name_of_sqs() {
        let endpoint = Url::parse("https://sqs.eu-central-1.api.aws").unwrap();
        assert_eq!(
            at("https://sqs.eu-central-1.amazonaws.com/123456789012/done", &endpoint),
            "https://sqs.eu-central-1.api.aws/123456789012/done"
        );
    }
}
