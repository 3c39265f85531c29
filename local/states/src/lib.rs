//! Step Functions of the local cloud: a strict interpreter of the Amazon States Language, and the API in front of it.
//!
//! Strict means: what AWS aborts is aborted, what AWS refuses is refused, and the history agrees with what was
//! recorded on AWS, event by event. What is not supported fails at the start with an error that names it.
//!
//! "Recorded" means: in the snapshots that the LocalStack project took of real AWS (repository localstack/localstack,
//! `tests/aws/services/stepfunctions`, commit 8b9a79f05), or in the histories that the Floci project read off AWS
//! (repository floci-io/floci, `AslExecutorBranchHistoryEventsTest`). What no recording shows says where AWS states it.

pub mod callback;
pub mod engine;
pub mod error;
pub mod execution;
pub mod language;
mod ministack;
mod requests;
mod run;
mod server;
mod task;
pub mod world;

use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::upstream::Upstream;

pub use crate::ministack::MiniStack;
pub use crate::server::StepFunctions;

/// What the stand-in works with.
#[derive(Clone, Debug)]
pub struct Config<W> {
    /// The rest of the cloud.
    pub upstream: Upstream,
    /// Who is calling, and what the caller and the machines' roles may do.
    pub guard: Guard,
    /// Where each answered call is noted.
    pub calls: CallLog,
    /// Where machines, functions and buses are.
    pub world: W,
}
