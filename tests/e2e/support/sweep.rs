//! A sweep, and the turns of the tests that it concerns.

use anyhow::{Result, anyhow};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::world::{self, World};

/// A sweep takes a job without an execution for one that has been forgotten; tests that make such a job, or sweep, take
/// turns.
pub async fn turn() -> Turn {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// The turn of the test that has it.
pub type Turn = MutexGuard<'static, ()>;

/// One sweep, as the schedule starts it.
pub async fn sweep(world: &World) -> Result<Value> {
    let event = world::sample("sweep-expired.json")?;
    let swept = world.invoke(&world.function("sweep-expired").await?, event).await?;
    swept.map_err(|error| anyhow!("the sweep failed: {error:#}"))
}

/// The jobs with which a sweep has done this.
pub fn names<'a>(swept: &'a Value, what: &str) -> Vec<&'a str> {
    swept[what].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
