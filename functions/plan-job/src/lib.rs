//! PlanJob: checks the job document, fills in the stack's defaults and decides on every name, tag and limit, so that
//! a job which cannot run is refused before anything has been created.

mod buckets;
mod egress;
mod image;
mod network;
mod place;
mod plan;
mod service;

use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Http, Randomness, Recipe, Step};
use mayfly_model::job::JobDocument;
use mayfly_model::names::new_job_id;
use mayfly_model::plan::Plan;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::plan::Settings;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<PlanJob>();

/// The step.
pub struct PlanJob {
    ec2: aws_sdk_ec2::Client,
    ecr: aws_sdk_ecr::Client,
    http: Http,
    s3: aws_sdk_s3::Client,
    settings: Settings,
    randomness: Randomness,
}

/// One start of the state machine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submission {
    /// The execution's name, of which the job's id is made.
    job: String,
    /// The execution's ARN.
    execution: String,
    /// When the execution started.
    start_time: jiff::Timestamp,
    /// The execution's input, as it came: the runtime's own reader would make other errors than `InvalidJob` of what
    /// it cannot read.
    document: Box<RawValue>,
}

impl Step for PlanJob {
    type Input = Submission;
    type Output = Plan;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            ec2: aws_sdk_ec2::Client::new(environment.sdk()),
            ecr: aws_sdk_ecr::Client::new(environment.sdk()),
            http: environment.http(),
            s3: aws_sdk_s3::Client::from_conf(mayfly_s3::config(environment.sdk())),
            settings: Settings::new(environment)?,
            randomness: environment.randomness(),
        })
    }

    #[tracing::instrument(skip_all, fields(job = submission.job), err(level = "warn"))]
    async fn run(&self, mut submission: Submission) -> Result<Plan, Error> {
        let Self { ec2, ecr, http, s3, settings, randomness } = self;
        submission.job = new_job_id(&submission.job).map_err(Error::InvalidJob)?;
        let document =
            JobDocument::parse(submission.document.get(), &settings.limits).map_err(Error::InvalidJob)?;
        network::check(ec2, document.network.as_ref()).await?;
        let place = match (&document.service, plan::joined_subnets(settings, &document)) {
            (Some(service), Some(subnets)) => {
                Some(place::look(ec2, subnets, service.has_load_balancer()).await?)
            }
            _ => None,
        };
        let image = match plan::image(settings, &document) {
            Some((image, architecture)) => {
                image::read(ecr, http, &settings.limits.registry, image, architecture).await?
            }
            None => None,
        };
        let plan = plan::make(settings, &submission, document, image, place, randomness)?;
        if let Some(work) = plan.work() {
            buckets::check(s3, &settings.region, work).await?;
        }
        tracing::info!(expiry = plan.expiry, "job planned");
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use mayfly_model::job::Limits;

    use super::*;

    /// As the runtime reads an event: `lambda_runtime` 1.5, `deserializer.rs`.
    fn refusal(document: &str) -> String {
        let event = format!(
            r#"{{"job": "j", "execution": "arn", "startTime": "2030-01-01T00:00:00Z", "document": {document}}}"#
        );
        let mut json = serde_json::Deserializer::from_slice(event.as_bytes());
        let submission: Submission =
            serde_path_to_error::deserialize(&mut json).expect("any document is taken");
        match JobDocument::parse(submission.document.get(), &Limits::default()) {
            Err(message) => message,
            Ok(job) => panic!("{document} is taken for {job:?}"),
        }
    }

    #[test]
    fn a_document_that_the_runtime_cannot_read_is_an_invalid_job() {
        let nested = format!("{{\"tags\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (document, words) in [
            (
                r#"{"task": {"command": ["\ud800"]}}"#,
                "task.command[0]: given a text with half of a character",
            ),
            (r#"{"timeoutMinutes": 1e400}"#, "timeoutMinutes: given a number that is out of range"),
            (r#"{"timeoutMinutes": -1e400}"#, "timeoutMinutes: given a number that is out of range"),
            (nested.as_str(), "more than 127 levels"),
            (r#"{"task": {}, "task": {}}"#, "task: given twice"),
            ("null", "must be a JSON object"),
        ] {
            let message = refusal(document);
            assert!(message.contains(words), "{message}");
        }
    }
}
