//! CreateQueue: the job's own mailbox, so that one job's container can never take another's message.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use mayfly_lambda::error::{Error, given};
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

/// The longest an order stays unread: 14 days, SQS's longest, because a job may run for seven days.
/// Source: SQS API Reference, `CreateQueue`, `MessageRetentionPeriod`.
const RETENTION_SECONDS: &str = "1209600";
/// A worker deletes an order as soon as it has it; one that dies in between keeps it from the next for no longer.
const VISIBILITY_SECONDS: &str = "5";

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<CreateQueue>();

/// The step.
pub struct CreateQueue {
    sqs: Client,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
pub struct Input {
    plan: Plan,
}

/// What the step answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    queue_url: String,
}

impl Step for CreateQueue {
    type Input = Input;
    type Output = Created;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { sqs: Client::new(environment.sdk()) })
    }

    /// The same name and attributes give the same queue, so a retry finds what the first try made.
    /// Source: SQS API Reference, `CreateQueue`.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Created, Error> {
        const DOING: &str = "create the job's mailbox";
        let Self { sqs } = self;
        let Input { plan } = input;
        let queue = sqs
            .create_queue()
            .queue_name(&plan.mailbox_name)
            .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS)
            .attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS)
            .set_tags(Some(plan.tags.into_iter().collect()))
            .send()
            .await
            .map_err(Error::aws(DOING))?;
        let queue_url = given(DOING, "QueueUrl", queue.queue_url)?;
        if queue_url != plan.mailbox_url {
            return Err(Error::internal(
                "use the job's mailbox",
                format!("SQS calls it {queue_url}, the plan {}", plan.mailbox_url),
            ));
        }
        tracing::info!("queue created");
        Ok(Created { queue_url })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime};

    use aws_smithy_async::time::StaticTimeSource;
    use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use mayfly_lambda::{Clock, Randomness, invoke};
    use serde_json::{Value, json};

    use super::*;

    /// An SQS without a socket: it keeps what it was sent, and gives each queue a URL.
    #[derive(Clone, Debug, Default)]
    struct Sqs(Arc<Mutex<Vec<(String, Value)>>>);

    impl HttpConnector for Sqs {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let body: Value = serde_json::from_slice(request.body().bytes().expect("a body")).expect("JSON");
            let answer =
                json!({ "QueueUrl": format!("https://sqs/{}", body["QueueName"].as_str().unwrap()) });
            let date = request.headers().get("x-amz-date").expect("a signed request").to_owned();
            self.0.lock().expect("no panic").push((date, body));
            let status = 200.try_into().expect("a status");
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(answer.to_string()))))
        }
    }

    fn step(sqs: &Sqs) -> CreateQueue {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-central-1"),
        ];
        let variables: BTreeMap<_, _> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let http = SharedHttpConnector::new(sqs.clone());
        let moment = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let clock = Clock::new(StaticTimeSource::new(moment));
        let randomness = Randomness::new(|bytes| bytes.fill(0));
        CreateQueue::new(&Environment::new(variables, http, clock, randomness, true).expect("all is set"))
            .expect("a step")
    }

    fn input(mailbox_url: &str) -> String {
        let plan = include_str!("../../../events/plan.public.json");
        let mut plan: Value = serde_json::from_str(plan).expect("JSON");
        plan["mailboxName"] = "mayfly-sample".into();
        plan["mailboxUrl"] = mailbox_url.into();
        json!({ "plan": plan }).to_string()
    }

    #[tokio::test]
    async fn a_step_runs_in_process_on_the_clock_that_it_is_given() {
        let sqs = Sqs::default();
        let answer = invoke(&step(&sqs), &input("https://sqs/mayfly-sample")).await.expect("a queue");
        assert_eq!(answer.get(), r#"{"queueUrl":"https://sqs/mayfly-sample"}"#);
        let sent = sqs.0.lock().unwrap();
        let [(date, body)] = sent.as_slice() else { panic!("one call, not {sent:?}") };
        assert_eq!((date.as_str(), &body["QueueName"]), ("19700102T000000Z", &json!("mayfly-sample")));
        assert_eq!(body["tags"]["mayfly:job"], "sample");
    }

    #[tokio::test]
    async fn a_step_fails_with_an_error_s_name_and_its_words() {
        let error =
            invoke(&step(&Sqs::default()), &input("https://sqs/another")).await.expect_err("another URL");
        assert_eq!(error.error_type, "Internal");
        assert_eq!(
            error.error_message,
            "could not use the job's mailbox: SQS calls it https://sqs/mayfly-sample, the plan https://sqs/another"
        );
        let error = invoke(&step(&Sqs::default()), "{}").await.expect_err("no plan");
        assert_eq!(
            error.error_message,
            "could not read the step's input: missing field `plan` at line 1 column 2"
        );
    }
}
