//! `mayfly stop`: stops a job and sees its teardown through.

use std::io::{IsTerminal, stderr, stdin};
use std::process::ExitCode;

use anyhow::Result;

use crate::conclude::conclude;
use crate::follow::{Ended, stop_execution, wait_for_end};
use crate::jobs::{self, Job};
use crate::out;
use crate::stack::Stack;
use crate::view::{Tone, View};
use crate::words::duration;

/// Exit code of a wrong command line, as clap has it.
const USAGE: u8 = 2;

/// Stops `job`, once a person has agreed or `is_agreed`; succeeds when nothing is left of it.
pub async fn stop(stack: &Stack, view: &mut View, job: &str, is_agreed: bool) -> Result<ExitCode> {
    let described = jobs::describe(stack, job).await?;
    if described.ended.is_some() {
        let (name, status) = (&stack.name, &described.status);
        view.line(
            Tone::Plain,
            &format!("job {job} has ended already: {status}; for more: mayfly --stack {name} follow {job}"),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if !is_agreed {
        if !(stdin().is_terminal() && stderr().is_terminal()) {
            out::tell(&format!("mayfly: there is no terminal to ask on; add --yes to stop job {job}"));
            return Ok(USAGE.into());
        }
        if !agrees(job, &described)? {
            view.line(Tone::Plain, &format!("job {job} goes on"))?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let execution = stack.execution(job);
    stop_execution(stack, &execution).await?;
    let end = wait_for_end(stack, &execution).await?;
    let seconds = end.at.duration_since(described.started).as_secs_f64();
    view.line(Tone::Strong, &format!("job {job} on stack {}", stack.name))?;
    let conclusion =
        conclude(stack, view, job, &Ended { end, seconds, stopped_here: true, shown: None }, false).await?;
    let is_gone = conclusion.receipt.is_some_and(|receipt| receipt.residual.is_empty());
    Ok(if is_gone { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn agrees(job: &str, described: &Job) -> Result<bool> {
    let so_far = duration(described.seconds());
    let price =
        if described.is_service { "Nobody can call it then." } else { "What it has not delivered is lost." };
    out::ask(&format!("Stop job {job}, which has run for {so_far}? {price} [y/N]"))?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
