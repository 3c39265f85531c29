//! A step: what one Lambda function does, as a library. Lambda, a test and a simulator call it in the same way.

use std::future::Future;

use futures_util::future::BoxFuture;
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

/// How a step is made. Each function has its own as a `static`: so all that its step does is compiled with it, once, and not in
/// every program that calls it, as what is asynchronous is.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// [`Step::SDK_RETRIES`].
    pub sdk_retries: bool,
    /// Makes it in a new execution environment.
    pub new: fn(&Environment) -> Result<Box<dyn Handler>, String>,
}

impl Recipe {
    /// That of the step `S`.
    pub const fn of<S: Step + Send + Sync + 'static>() -> Self {
        Self { sdk_retries: S::SDK_RETRIES, new: |environment| Ok(Box::new(S::new(environment)?)) }
    }
}

/// A step in an execution environment of its function.
pub trait Handler: Send + Sync {
    /// [Calls](invoke) it as Lambda does.
    fn invoke<'a>(&'a self, payload: &'a str) -> BoxFuture<'a, Result<Box<RawValue>, Diagnostic>>;
}

impl<S: Step + Send + Sync> Handler for S {
    fn invoke<'a>(&'a self, payload: &'a str) -> BoxFuture<'a, Result<Box<RawValue>, Diagnostic>> {
        Box::pin(invoke(self, payload))
    }
}

/// Serves the step to Lambda for as long as this execution environment lives.
///
/// # Errors
/// Where the step cannot be made, or Lambda's runtime API cannot be reached.
pub fn serve(recipe: &Recipe) -> Result<(), lambda_runtime::Error> {
    tracing::init_default_subscriber();
    let step = (recipe.new)(&Environment::of_lambda(recipe.sdk_retries)?)?;
    let step = &step;
    let handler =
        service_fn(async |event: LambdaEvent<Box<RawValue>>| step.invoke(event.payload.get()).await);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(handler))
}
