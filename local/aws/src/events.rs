//! The default event bus for events of `aws.states` and `aws.ecs`, which MiniStack's `PutEvents` refuses from outside:
//! the rules are read from MiniStack, and their targets are called here.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_sdk_eventbridge::types::{Rule as RuleRecord, RuleState, Target};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::pattern::Pattern;
use crate::policy::{Context, Policy, Request};
use crate::transform::{self, Rule};
use crate::upstream::Upstream;

/// The pauses before a delivery is tried again, in real time, which is what the functions and queues in MiniStack need;
/// AWS goes on for a day ("Retry policy and dead-letter queues").
const RETRY_AFTER: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(3)];

/// Who calls the targets, in the policies of functions and queues.
const SERVICE: &str = "events.amazonaws.com";

/// What takes the events of the account's services.
pub trait Events: Debug + Send + Sync {
    /// Takes one event, which is delivered in the background. `source` is for example `aws.states`.
    fn put(&self, source: &str, detail_type: &str, resources: Vec<String>, detail: Value);
}

/// An event with the fields that all have (EventBridge user guide, "AWS service event metadata").
pub fn event(
    upstream: &Upstream,
    source: &str,
    detail_type: &str,
    resources: &[String],
    detail: &Value,
) -> Value {
    json!({
        "version": "0",
        "id": upstream.random.uuid().to_string(),
        "detail-type": detail_type,
        "source": source,
        "account": upstream.account,
        "time": upstream.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": upstream.region,
        "resources": resources,
        "detail": detail,
    })
}

/// Matches events against the account's rules and calls the rules' targets.
#[derive(Clone, Debug)]
pub struct EventBus {
    upstream: Upstream,
    rules: aws_sdk_eventbridge::Client,
    lambda: aws_sdk_lambda::Client,
    sqs: aws_sdk_sqs::Client,
}

impl EventBus {
    /// The default bus of the account behind `upstream`.
    pub fn new(upstream: Upstream) -> Self {
        let config = upstream.root_config();
        Self {
            upstream,
            rules: aws_sdk_eventbridge::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }

    /// Calls the targets of every rule that matches, side by side.
    async fn deliver(&self, event: &Value) -> anyhow::Result<()> {
        let mut next = None;
        loop {
            let page =
                self.rules.list_rules().set_next_token(next).send().await.context("cannot list the rules")?;
            for rule in page.rules.unwrap_or_default() {
                let name = rule.name.clone().unwrap_or_default();
                if let Err(error) = self.apply(rule, event).await {
                    tracing::error!(rule = name, error = format!("{error:#}"), "a rule could not be applied");
                }
            }
            next = page.next_token;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Calls the targets of `rule`, each in a Tokio task of its own, if it is enabled and matches.
    async fn apply(&self, rule: RuleRecord, event: &Value) -> anyhow::Result<()> {
        let (Some(name), Some(arn), Some(RuleState::Enabled)) = (rule.name, rule.arn, rule.state) else {
            return Ok(());
        };
        let Some(pattern) = rule.event_pattern else { return Ok(()) };
        let pattern = Pattern::parse(&pattern).map_err(anyhow::Error::msg).context("its event pattern")?;
        if !pattern.matches(event) {
            return Ok(());
        }
        // A rule has at most five targets, which is one page (EventBridge user guide, "Quotas").
        let targets =
            self.rules.list_targets_by_rule().rule(&name).send().await.context("cannot list its targets")?;
        let rule = Rule { name, arn };
        for target in targets.targets.unwrap_or_default() {
            let (bus, rule, event) = (self.clone(), rule.clone(), event.clone());
            tokio::spawn(async move {
                if let Err(error) = bus.call_with_retries(&target, &rule, &event).await {
                    let error = format!("{error:#}");
                    tracing::error!(rule = rule.name, target = target.arn, error, %event, "a target cannot be called");
                }
            });
        }
        Ok(())
    }

    async fn call_with_retries(&self, target: &Target, rule: &Rule, event: &Value) -> anyhow::Result<()> {
        let input = transform::input(target, rule, event).map_err(anyhow::Error::msg)?;
        // One name for all tries, so that an execution whose answer was lost is not started twice.
        let name = format!("{}_{}", event["id"].as_str().unwrap_or_default(), self.upstream.random.uuid());
        for pause in RETRY_AFTER {
            let Err(error) = self.call(target, rule, &input, &name).await else { return Ok(()) };
            let error = format!("{error:#}");
            tracing::debug!(rule = rule.name, target = target.arn, error, "a target is to be called again");
            tokio::time::sleep(pause).await;
        }
        self.call(target, rule, &input, &name).await
    }

    async fn call(&self, target: &Target, rule: &Rule, input: &str, name: &str) -> anyhow::Result<()> {
        let arn = target.arn.as_str();
        match arn.split(':').collect::<Vec<_>>()[..] {
            [_, _, "states", _, _, "stateMachine", _] => self.start_execution(target, name, input).await,
            [_, _, "lambda", ..] => self.invoke(arn, rule, input).await,
            [_, _, "sqs", _, _, queue] => self.send_message(target, queue, rule, input).await,
            _ => bail!("the local cloud does not know targets like {arn}"),
        }
    }

    /// As the target's role, at the Step Functions stand-in.
    async fn start_execution(&self, target: &Target, name: &str, input: &str) -> anyhow::Result<()> {
        let role =
            target.role_arn.as_deref().context("the target has no RoleArn, which a state machine needs")?;
        let config = self.upstream.role_config(role, "EventBridge").await?;
        let config = config.into_builder().endpoint_url(&self.upstream.states).build();
        aws_sdk_sfn::Client::new(&config)
            .start_execution()
            .state_machine_arn(&target.arn)
            .name(name)
            .input(input)
            .send()
            .await?;
        Ok(())
    }

    /// Asynchronously, as the service that the function's own policy has to admit.
    async fn invoke(&self, arn: &str, rule: &Rule, input: &str) -> anyhow::Result<()> {
        let answer =
            self.lambda.get_policy().function_name(arn).send().await.context("the function's policy")?;
        self.admit(answer.policy.as_deref(), "lambda:InvokeFunction", arn, rule)?;
        self.lambda
            .invoke()
            .function_name(arn)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(input))
            .send()
            .await?;
        Ok(())
    }

    /// As the service that the queue's own policy has to admit.
    async fn send_message(
        &self,
        target: &Target,
        queue: &str,
        rule: &Rule,
        input: &str,
    ) -> anyhow::Result<()> {
        let url =
            self.sqs.get_queue_url().queue_name(queue).send().await?.queue_url.context("no queue URL")?;
        let answer = self
            .sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(QueueAttributeName::Policy)
            .send()
            .await
            .context("the queue's policy")?;
        let policy =
            answer.attributes.and_then(|mut attributes| attributes.remove(&QueueAttributeName::Policy));
        self.admit(policy.as_deref(), "sqs:SendMessage", &target.arn, rule)?;
        let group = target.sqs_parameters.as_ref().and_then(|parameters| parameters.message_group_id.clone());
        self.sqs.send_message().queue_url(url).message_body(input).set_message_group_id(group).send().await?;
        Ok(())
    }

    /// For functions and queues EventBridge relies on their own policies (EventBridge user guide, "Using resource-based
    /// policies").
    fn admit(&self, policy: Option<&str>, action: &str, resource: &str, rule: &Rule) -> anyhow::Result<()> {
        let context = Context::from([
            ("aws:SourceArn".to_owned(), vec![rule.arn.clone()]),
            ("aws:SourceAccount".to_owned(), vec![self.upstream.account.clone()]),
        ]);
        let policy = Policy::parse(policy.context("the target has no policy")?)?;
        let admitted = policy.admits_service(SERVICE, Request { action, resource, context: &context })?;
        ensure!(admitted, "the policy of {resource} does not let {SERVICE} do {action} for {}", rule.arn);
        Ok(())
    }
}

/// A target that cannot be called is logged as an error with the rule's name.
impl Events for EventBus {
    fn put(&self, source: &str, detail_type: &str, resources: Vec<String>, detail: Value) {
        let event = event(&self.upstream, source, detail_type, &resources, &detail);
        let bus = self.clone();
        tokio::spawn(async move {
            if let Err(error) = bus.deliver(&event).await {
                tracing::error!(error = format!("{error:#}"), %event, "an event could not be delivered");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_has_the_fields_of_aws() {
        let (upstream, resources) = (Upstream::nowhere(), ["arn:t".to_owned()]);
        let event = event(&upstream, "aws.ecs", "ECS Task State Change", &resources, &json!({ "a": 1 }));
        let names: Vec<_> = event.as_object().expect("an object").keys().map(String::as_str).collect();
        let expected =
            ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"];
        assert_eq!(names, expected);
        assert_eq!(event["account"], "111122223333");
        assert_eq!(event["time"].as_str().map(str::len), Some("2026-01-02T03:04:05Z".len()));
    }

    #[tokio::test]
    async fn a_function_or_queue_must_admit_the_rule() {
        let bus = EventBus::new(Upstream::nowhere());
        let rule = Rule { name: "r".into(), arn: "arn:aws:events:r:a:rule/r".into() };
        let admit = |policy| {
            bus.admit(policy, "lambda:InvokeFunction", "arn:f", &rule).map_err(|error| error.to_string())
        };
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},
            "Action":"lambda:InvokeFunction","Resource":"arn:f","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:events:r:a:rule/r"}}}]}"#;
        assert_eq!(admit(Some(policy)), Ok(()));
        let other = policy.replace("rule/r", "rule/other");
        assert!(admit(Some(&other)).expect_err("refused").contains("does not let"));
        assert!(admit(None).expect_err("refused").contains("no policy"));
    }
}
