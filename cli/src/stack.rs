//! The stack: found by its name, with a client for each service that is asked about its jobs.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sfn::config::ProvideCredentials;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};

/// Enough tries, at most 20 seconds apart, to follow a job through a minute without network.
const PATIENT_ATTEMPTS: u32 = 10;

/// A deployed stack of Mayfly.
pub struct Stack {
    /// Its name, which is part of every name that Mayfly gives.
    pub name: String,
    /// The ARN of the machine whose executions are the jobs.
    pub run_job: String,
    /// The ARN of the machine that removes what a job has left.
    pub tear_down: String,
    /// The table with each job's progress.
    pub jobs_table: String,
    /// The log group of the containers.
    pub log_group: String,
    /// The name of the function that finds what jobs have left.
    pub sweeper: String,
    /// The name of the function that puts off a service's end.
    pub extender: String,
    /// The repository of the stack's images, with the registry's host.
    pub repository: String,
    /// The containers' processor, `X86_64` or `ARM64`, where CloudFormation tells it.
    pub architecture: Option<String>,
    /// Its parameter `DefaultImage`.
    pub default_image: Option<String>,
    /// Step Functions.
    pub states: aws_sdk_sfn::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// ECR.
    pub ecr: aws_sdk_ecr::Client,
}

impl Stack {
    /// Finds the stack called `name` with the credentials, Region and endpoint of the environment.
    ///
    /// # Errors
    /// Each says what is missing and how to supply it.
    pub async fn find(name: &str) -> Result<Self> {
        let config = environment().await?;
        let found =
            aws_sdk_cloudformation::Client::new(&config).describe_stacks().stack_name(name).send().await;
        let stack = match found {
            Ok(answer) => answer.stacks.unwrap_or_default().into_iter().next(),
            // Source: CloudFormation API Reference, DescribeStacks: an error if the stack does not exist.
            Err(error) if error.message().is_some_and(|message| message.contains("does not exist")) => None,
            Err(error @ SdkError::DispatchFailure(_)) if std::env::var_os("AWS_ENDPOINT_URL").is_some() => {
                return Err(aws(
                    "reach AWS_ENDPOINT_URL; if it is the local cloud's, start that with `make cloud` and export what it prints",
                )(error));
            }
            Err(error) => return Err(aws(&format!("look up the stack `{name}`"))(error)),
        };
        let Some(stack) = stack else {
            let region = config.region().map(ToString::to_string).unwrap_or_default();
            bail!(
                "there is no stack `{name}` in {region}; name another with --stack or MAYFLY_STACK, choose the Region \
                 with AWS_REGION, or deploy one with `make deploy`"
            );
        };
        let status = stack.stack_status().map_or("without a status", |status| status.as_str()).to_owned();
        let name = stack.stack_name.unwrap_or_else(|| name.to_owned());
        let parameters = stack.parameters.unwrap_or_default();
        let parameter = |key: &str| {
            let found = parameters.iter().find(|parameter| parameter.parameter_key() == Some(key));
            found.and_then(|parameter| parameter.parameter_value.clone())
        };
        let (architecture, default_image) = (parameter("Architecture"), parameter("DefaultImage"));
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let mut outputs: HashMap<_, _> =
            outputs.filter_map(|output| Some((output.output_key?, output.output_value?))).collect();
        let mut output = |key: &str| {
            outputs.remove(key).with_context(|| {
                format!(
                    "the stack `{name}` ({status}) has no output {key}; if its deployment has ended, it is not a \
                     stack of Mayfly or one of another version: deploy this version's template.yaml"
                )
            })
        };
        let (run_job, tear_down) = (output("RunJobMachineArn")?, output("TearDownMachineArn")?);
        let (jobs_table, log_group) = (output("JobsTableName")?, output("LogGroupName")?);
        let (sweeper, extender) = (output("SweepExpiredFunctionName")?, output("ExtendServiceFunctionName")?);
        let repository = output("RepositoryUri")?;

        let patient = config
            .into_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(PATIENT_ATTEMPTS))
            .build();
        Ok(Self {
            name,
            run_job,
            tear_down,
            jobs_table,
            log_group,
            sweeper,
            extender,
            repository,
            architecture,
            default_image,
            states: aws_sdk_sfn::Client::new(&patient),
            dynamodb: aws_sdk_dynamodb::Client::new(&patient),
            lambda: aws_sdk_lambda::Client::new(&patient),
            logs: aws_sdk_cloudwatchlogs::Client::new(&patient),
            ecr: aws_sdk_ecr::Client::new(&patient),
        })
    }

    /// The ARN of the execution called `name`, which is a job.
    /// Source: Service Authorization Reference, "AWS Step Functions", resource types.
    pub fn execution(&self, name: &str) -> String {
        format!("{}:{name}", self.run_job.replacen(":stateMachine:", ":execution:", 1))
    }

    /// Says that there is no job called `job`.
    pub fn no_such_job(&self, job: &str) -> anyhow::Error {
        anyhow!(
            "stack `{}` has no job `{job}`; Step Functions forgets a job 90 days after its end",
            self.name
        )
    }
}

/// The environment's configuration, known to have what every call needs.
async fn environment() -> Result<SdkConfig> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    if config.region().is_none() {
        bail!("no AWS Region is set; set AWS_REGION, or AWS_PROFILE to a profile that has one");
    }
    let provider = config.credentials_provider().context("no AWS credentials are configured")?;
    provider.provide_credentials().await.context(
        "no AWS credentials were found; sign in with `aws sso login` or `aws configure`, or set AWS_PROFILE or \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )?;
    Ok(config)
}

/// Turns the failure of an AWS call into an error, for `map_err`. `doing` completes "could not …".
pub fn aws<E, R>(doing: &str) -> impl FnOnce(SdkError<E, R>) -> anyhow::Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let doing = format!("could not {doing}");
    move |error| match (error.code(), error.message()) {
        (Some(code), Some(message)) => anyhow!("{doing}: {code}: {message}"),
        // The causes are the error's sources, and are printed with it.
        _ => anyhow::Error::new(error).context(doing),
    }
}
