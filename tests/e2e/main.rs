//! The end-to-end tests: local clouds with the stack deployed on them, one for most tests, real processes and the real wire,
//! and one file per behaviour. What needs neither is tried on the simulation, in `tests/simulation/simulate`.

mod support;

mod any_image; // any image runs as it is
mod attempts; // what still works is stopped before the next attempt
mod aws_cli; // the unmodified AWS CLI sees what AWS's documentation says
mod broken; // a local cloud that has lost a part of itself says so
mod classes; // classes of failure, by a real cause
mod cli; // `mayfly` tells a job's outcome by its exit code and its output
mod command_fails; // a job that fails says why, and is torn down all the same
mod drained; // a stack is deleted only when nothing of any job is left
mod egress; // a private job without a NAT gateway
mod expiry; // signed URLs expire, and a job that outlives them delivers all the same
mod folders; // all that is below a prefix comes, and what is in a folder goes
mod invalid_documents; // what cannot run is refused in words, before anything is created
mod large; // an output that no single request can take goes up in parts
mod many_files; // a job may have as many files, with as long keys, as its document holds
mod names; // every name that Step Functions takes is a job's
mod networks; // a job runs in the network that it names
mod plug; // whoever pulls the plug in the middle finds an empty account after one sweep
mod private; // a job has a network of its own, and nothing of it is left
mod reports; // what is stale, false or garbage changes nothing
mod rights; // no role may do more than it needs, and none touches another stack
mod samples; // every file in events/ is executed
mod secrets; // what must stay secret is in no log, history, event or outcome
mod services; // a service is called for as long as it may be, and leaves nothing
mod stopped; // a job that is stopped, wherever it stands, leaves nothing
mod swept; // the sweeper finds what every other teardown has missed
mod transcode; // a video becomes smaller, and nothing is left
mod variables; // what the document gives the command rules nobody else

use std::process::ExitCode;

use libtest_mimic::Arguments;

use crate::support::harness::{self, Harness};

/// More than the machine has cores: a test mostly waits.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let harness = match Harness::new() {
        Ok(harness) => harness,
        Err(error) => {
            eprintln!("the tests cannot start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let files = [
        rights::trials,
        any_image::trials,
        classes::trials,
        attempts::trials,
        reports::trials,
        expiry::trials,
        drained::trials,
        services::trials,
        plug::trials,
        private::trials,
        egress::trials,
        large::trials,
        many_files::trials,
        folders::trials,
        names::trials,
        networks::trials,
        stopped::trials,
        invalid_documents::trials,
        samples::trials,
        transcode::trials,
        command_fails::trials,
        variables::trials,
        swept::trials,
        aws_cli::trials,
        broken::trials,
        cli::trials,
        // Last, when there is most to search.
        secrets::trials,
    ];
    let trials = files.iter().flat_map(|trials| trials(&harness)).collect();
    let conclusion = libtest_mimic::run(&arguments, harness::spread(trials));
    match harness.close(&conclusion) {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("after the tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}
