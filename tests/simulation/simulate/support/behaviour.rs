//! A behaviour, which is tried in a process of its own: what a run has of random numbers, and how often the SDK may try again,
//! is each process's.

use std::process::{Command, ExitCode, Output};

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Failed, Trial};

use crate::{randomness, runtime};

/// The argument with which this program tries one behaviour.
pub const ARGUMENT: &str = "--behaviour";

/// What a job does under some circumstances.
pub struct Behaviour {
    name: String,
    test: Box<dyn FnOnce() -> LocalBoxFuture<'static, Result<()>>>,
}

/// A behaviour of this name, which `test` tries.
pub fn behaviour<F>(name: impl Into<String>, test: impl FnOnce() -> F + 'static) -> Behaviour
where
    F: Future<Output = Result<()>> + 'static,
{
    Behaviour { name: name.into(), test: Box::new(|| test().boxed_local()) }
}

impl Behaviour {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The trial that starts a process for it.
    pub fn trial(self) -> Trial {
        let name = self.name.clone();
        Trial::test(self.name, move || elsewhere(&name))
    }

    /// Tries it in this process.
    pub fn run(self) -> Result<ExitCode> {
        randomness::seed(0);
        runtime()?.block_on((self.test)())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn elsewhere(name: &str) -> Result<(), Failed> {
    let output = std::env::current_exe()
        .and_then(|program| Command::new(program).args([ARGUMENT, name]).output())
        .context("the program could not be started");
    let Output { status, stderr, .. } = output.map_err(|error| format!("{error:#}"))?;
    let told = String::from_utf8_lossy(&stderr);
    if status.success() { Ok(()) } else { Err(format!("{told}\nagain: {ARGUMENT} {name}").into()) }
}
