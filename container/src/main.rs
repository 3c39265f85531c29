//! The program that a container begins with; all of it is in the library.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io};

use anyhow::Context;
use mayfly_worker::log::Log;
use mayfly_worker::settings::Settings;
use mayfly_worker::worker::Worker;
use mayfly_worker::{environment, install, launch};
use nix::sys::prctl;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, error, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How long the last lines may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    if let Some(exit_code) = launch::run_if_asked() {
        return exit_code;
    }
    // Before any library has looked at the environment.
    let begun = environment::set_apart().context("it cannot execute itself again").and_then(|()| {
        let folder = env::var_os("MAYFLY_FOLDER").map_or_else(env::temp_dir, PathBuf::from);
        Log::start(io::stdout(), folder).context("it cannot write its log")
    });
    match begun {
        Ok(log) => live(&log),
        Err(error) => {
            eprintln!("the worker cannot go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// One thread: the worker waits and copies, and the container's CPUs are the command's.
#[tokio::main(flavor = "current_thread")]
async fn live(log: &Log) -> ExitCode {
    log_as_json(log.clone());
    let lived = match install::run_if_asked() {
        Ok(false) => run(log.clone()).await,
        installed => installed.map(drop),
    };
    if let Err(error) = &lived {
        error!("the worker cannot go on: {error:#}");
    }
    log.is_whole(LAST_WORDS).await;
    if lived.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(log: Log) -> anyhow::Result<()> {
    // Nothing else in the container may read this process's memory and environment, where its credentials are.
    // Source: PR_SET_DUMPABLE(2const), ptrace(2) and proc(5).
    prctl::set_dumpable(false)?;
    // What this thread starts, and so the command, gets no rights by a set-user-ID program.
    // Source: PR_SET_NO_NEW_PRIVS(2const), which is inherited.
    prctl::set_no_new_privs()?;
    let settings = Settings::from_env()?;
    let span = info_span!("worker", job = settings.job);
    let life = async {
        let Some(worker) = Worker::start(settings, log).await? else { return Ok(()) };
        worker.run().await
    };
    life.instrument(span).await
}

/// The level is fixed: more would make the HTTP crates log URLs.
fn log_as_json(log: Log) {
    let filter =
        Targets::new().with_target("mayfly_worker", LevelFilter::INFO).with_default(LevelFilter::ERROR);
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false).with_target(false);
    let lines = lines.with_writer(move || log.clone());
    tracing_subscriber::registry().with(lines).with(filter).init();
}
