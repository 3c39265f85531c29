//! Rules, as CloudFormation makes them.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_eventbridge::types::{DeadLetterConfig, InputTransformer, RetryPolicy, Target};
use local_aws::pattern::Pattern;
use local_aws::transform;
use serde_json::{Map, Value};

/// A rule of the default bus.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) named: transform::Rule,
    pub(super) pattern: Pattern,
    pub(super) targets: Vec<Target>,
}

impl Rule {
    /// The rule `name` with the properties of an `AWS::Events::Rule`, in which all functions have been carried out.
    ///
    /// # Errors
    /// Where they say what is not played here.
    pub fn new(name: &str, arn: &str, properties: &Value) -> Result<Self> {
        check(properties, &["Description", "EventPattern", "Targets"])?;
        let pattern = Pattern::parse(&properties["EventPattern"].to_string()).map_err(anyhow::Error::msg)?;
        let targets = properties["Targets"].as_array().context("it has targets")?;
        Ok(Self {
            named: transform::Rule { name: name.to_owned(), arn: arn.to_owned() },
            pattern,
            targets: targets.iter().map(target).collect::<Result<_>>()?,
        })
    }
}

fn target(properties: &Value) -> Result<Target> {
    let known =
        ["Arn", "DeadLetterConfig", "Id", "Input", "InputPath", "InputTransformer", "RetryPolicy", "RoleArn"];
    check(properties, &known)?;
    let text = |name: &str| properties[name].as_str().map(str::to_owned);
    let number = |name: &str| -> Result<Option<i32>> {
        Ok(properties["RetryPolicy"][name].as_i64().map(i32::try_from).transpose()?)
    };
    let retry_policy = RetryPolicy::builder()
        .set_maximum_retry_attempts(number("MaximumRetryAttempts")?)
        .set_maximum_event_age_in_seconds(number("MaximumEventAgeInSeconds")?)
        .build();
    let dead_letters = properties["DeadLetterConfig"]["Arn"].as_str();
    let dead_letters = dead_letters.map(|arn| DeadLetterConfig::builder().arn(arn).build());
    let transformer = properties.get("InputTransformer").map(transformer).transpose()?;
    Ok(Target::builder()
        .set_id(text("Id"))
        .set_arn(text("Arn"))
        .set_role_arn(text("RoleArn"))
        .set_input(text("Input"))
        .set_input_path(text("InputPath"))
        .set_input_transformer(transformer)
        .retry_policy(retry_policy)
        .set_dead_letter_config(dead_letters)
        .build()?)
}

fn transformer(properties: &Value) -> Result<InputTransformer> {
    let paths = properties["InputPathsMap"].as_object();
    let paths = paths.into_iter().flatten();
    let paths = paths.map(|(name, path)| Some((name.clone(), path.as_str()?.to_owned()))).collect();
    let template = properties["InputTemplate"].as_str().map(str::to_owned);
    Ok(InputTransformer::builder().set_input_paths_map(paths).set_input_template(template).build()?)
}

/// What is not played would else go unnoticed.
pub(super) fn check(properties: &Value, known: &[&str]) -> Result<()> {
    let names = properties.as_object().map(Map::keys).into_iter().flatten();
    let unknown: Vec<_> = names.filter(|name| !known.contains(&name.as_str())).collect();
    ensure!(unknown.is_empty(), "{unknown:?} is not played");
    Ok(())
}
