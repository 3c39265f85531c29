//! Step Functions of the local cloud: a strict interpreter of the Amazon States Language, and the API in front of it.
//!
//! Strict means: what AWS aborts is aborted, what AWS refuses is refused, and the history agrees with what was
//! recorded on AWS, event by event. What is not supported fails at the start with an error that names it.
//!
//! "Recorded" means: in the snapshots that the LocalStack project took of real AWS (repository localstack/localstack,
//! `tests/aws/services/stepfunctions`, commit 8b9a79f05), or in the histories that the Floci project read off AWS
//! (repository floci-io/floci, `AslExecutorBranchHistoryEventsTest`). What no recording shows says where AWS states it.

mod api;
pub mod callback;
pub mod engine;
pub mod error;
pub mod execution;
pub mod language;
mod ministack;
mod run;
mod task;
pub mod world;

use std::sync::Arc;

use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::TimeScale;
use local_aws::events::EventBus;
use local_aws::upstream::Upstream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::api::serve_engine;
use crate::engine::Engine;
use crate::ministack::MiniStack;

/// What the stand-in works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where functions, buses and the deployed machines are.
    pub upstream: Upstream,
    /// Who may do what.
    pub guard: Guard,
    /// Where status changes of executions go.
    pub bus: EventBus,
    /// How long a second lasts, in every wait, retry, time-out and heartbeat.
    pub scale: TimeScale,
    /// How long it lasts for a task that waits for its token, from its first heartbeat on.
    pub work_scale: TimeScale,
    /// Where each call is noted.
    pub calls: CallLog,
}

/// Serves the Step Functions API until `stop`, then drops what still runs.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let Config { upstream, guard, bus, scale, work_scale, calls } = config;
    let engine = Engine::new(MiniStack::new(upstream, guard, bus), scale, work_scale, stop.clone());
    serve_engine(listener, Arc::clone(&engine), calls, stop).await
}
