//! A step: what one Lambda function does, as a library. Lambda, a test and a simulator call it in the same way.

use std::future::Future;

use lambda_runtime::{Diagnostic, LambdaEvent, run, service_fn, tracing};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::environment::Environment;
use crate::error::Error;

/// One step of a state machine, or what a queue, a rule or a schedule calls.
///
/// It asks for nothing by itself: settings, clients, time and random numbers come from the [`Environment`].
pub trait Step: Sized {
    /// What it is called with.
    type Input: DeserializeOwned;

    /// What it answers.
    type Output: Serialize;

    /// Whether the SDK may make a call again by itself. Not where a call takes no client token: AWS would take the calls for
    /// two where only the first one's answer was lost. Then the state machine tries again, and the step looks first for what
    /// is there.
    /// Source: EC2 developer guide, "Ensuring idempotency in Amazon EC2 API requests"; ECS developer guide, "Ensuring
    /// idempotency in Amazon ECS API requests".
    const SDK_RETRIES: bool = true;

    /// Made once for each execution environment.
    ///
    /// # Errors
    /// In words, where a setting is absent or cannot be read.
    fn new(environment: &Environment) -> Result<Self, String>;

    /// Does it once.
    fn run(&self, input: Self::Input) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// Calls the step as Lambda does: JSON in, and JSON or an `errorType` and its message out.
///
/// # Errors
/// The step's own, and `Internal` where `payload` cannot be read.
pub async fn invoke<S: Step>(step: &S, payload: &str) -> Result<Box<RawValue>, Diagnostic> {
    let mut json = serde_json::Deserializer::from_str(payload);
    let input = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Error::internal("read the step's input", error))?;
    // Boxed, because the compiler, when it optimises, gives up on a type as deep as a step's calls together.
    let output = Box::pin(step.run(input)).await?;
    let output = serde_json::value::to_raw_value(&output);
    output.map_err(|error| Error::internal("write the step's output", error).into())
}

/// Serves the step to Lambda for as long as this execution environment lives.
///
/// # Errors
/// Where the step cannot be made, or Lambda's runtime API cannot be reached.
pub fn serve<S: Step>() -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let step = S::new(&Environment::of_lambda(S::SDK_RETRIES)?)?;
    let step = &step;
    let handler =
        service_fn(async |event: LambdaEvent<Box<RawValue>>| invoke(step, event.payload.get()).await);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(handler))
}
