//! The end-to-end tests: one local cloud with the stack deployed on it, and one file per behaviour.

mod harness;
mod report;
mod world;

mod aws_cli; // the unmodified AWS CLI sees what AWS's documentation says
mod cli; // `mayfly` tells a job's outcome by its exit code and its output
mod command_fails; // a job that fails says why, and is torn down all the same
mod five_jobs; // jobs at the same time never see each other's messages
mod invalid_documents; // what cannot run is refused in words, before anything is created
mod leftovers; // a teardown that cannot remove everything says so
mod same_name; // submitting the same name twice is safe
mod samples; // every file in events/ is executed
mod stopped; // a job that is stopped, wherever it stands, leaves nothing
mod swept; // the sweeper finds what every other teardown has missed
mod transcode; // a video becomes smaller, and nothing is left

use std::process::ExitCode;

use libtest_mimic::Arguments;

use crate::harness::Harness;

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
        stopped::trials,
        invalid_documents::trials,
        leftovers::trials,
        samples::trials,
        transcode::trials,
        command_fails::trials,
        five_jobs::trials,
        same_name::trials,
        swept::trials,
        aws_cli::trials,
        cli::trials,
    ];
    let trials = files.iter().flat_map(|trials| trials(&harness)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    match harness.close(&conclusion) {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("after the tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}
