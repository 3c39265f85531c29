//! KeepService: remembers the task token with which the service's life is ended or measured anew. The state machine then
//! waits for it, or for the end.

use mayfly_jobs::Jobs;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Recipe, Step};
use mayfly_model::plan::Plan;
use serde::Deserialize;

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<KeepService>();

/// The step.
pub struct KeepService {
    jobs: Jobs,
}

/// What the state hands over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    task_token: String,
}

impl Step for KeepService {
    type Input = Input;
    type Output = ();

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { jobs: Jobs::new(environment)? })
    }

    /// The state machine never sees what this returns: it waits for the token.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<(), Error> {
        self.jobs.keep_service(&input.plan, &input.task_token).await?;
        tracing::info!("service kept");
        Ok(())
    }
}
