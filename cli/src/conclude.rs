//! What a person is told when a job has ended: its outcome, the end of its output where it failed, and the teardown
//! where the job did not live to run that itself.

use anyhow::{Result, bail};
use mayfly_model::inventory::Receipt;
use mayfly_model::names::job_id;
use mayfly_model::outcome::{End, Outcome};
use mayfly_model::visible::settled;
use serde_json::{Value, json};

use crate::events::Status;
use crate::follow::{Ended, Followed, OnInterrupt, Until, follow};
use crate::outcome;
use crate::stack::Stack;
use crate::view::{Line, Tone, View};
use crate::{container_log, out, teardown};

/// The exit code of a job that was cut off by something else.
const FAILED: u8 = 1;
/// The exit code of a job that Ctrl-C has stopped, as a shell has it for a command.
const INTERRUPTED: u8 = 130;

/// What the end of a job comes to.
pub struct Conclusion {
    /// The exit code that says the same.
    pub code: u8,
    /// What has become of the job's resources, as far as that is known.
    pub receipt: Option<Receipt>,
}

/// Says how `job` ended, with `json` also on standard output.
pub async fn conclude(
    stack: &Stack,
    view: &mut View,
    job: &str,
    ended: &Ended,
    json: bool,
) -> Result<Conclusion> {
    let (heading, document) = (outcome::heading(&ended.end, ended.seconds), ended.end.document.as_deref());
    show(view, vec![heading])?;
    let Some(outcome) = document.and_then(outcome::read) else {
        return conclude_cut_off(stack, view, job, ended, json).await;
    };
    show_outcome(stack, view, &outcome, ended.shown.as_ref()).await?;
    if json {
        // As it came, so that nothing is lost that this version does not know.
        out::print_json(&serde_json::from_str::<Value>(document.unwrap_or_default())?)?;
    }
    Ok(Conclusion { code: outcome::exit_code(&outcome.end), receipt: Some(outcome.receipt) })
}

/// What is `shown` already is not shown again.
async fn show_outcome(stack: &Stack, view: &mut View, outcome: &Outcome, shown: Option<&End>) -> Result<()> {
    if shown != Some(&outcome.end) {
        show(view, outcome::lines_of(&outcome.end))?;
    }
    if let Some(failure) = outcome.end.failure() {
        show_log(stack, view, &outcome.job, failure.task_arn.as_deref(), failure.output.as_deref()).await?;
    }
    show(view, outcome::receipt(&outcome.receipt, &teardown_command(stack, &outcome.job)))?;
    outcome.end.failure().map_or(Ok(()), |failure| show(view, outcome::remedy(failure)))
}

/// Shows the end of the output that the worker reported, which is also in the outcome; where it reported none, the end of
/// the container's log.
async fn show_log(
    stack: &Stack,
    view: &mut View,
    job: &str,
    task_arn: Option<&str>,
    reported: Option<&str>,
) -> Result<()> {
    let reported: Vec<_> = reported.unwrap_or_default().split_terminator('\n').map(settled).collect();
    if !reported.is_empty() {
        return show(view, outcome::log(&reported));
    }
    match container_log::last_lines(stack, job, task_arn).await {
        Ok(log) => show(view, outcome::log(&log)),
        Err(error) => view.line(Tone::Faint, &format!("{error:#}")),
    }
}

/// A job that was stopped, or ended by a fault of its machine, left its teardown to the rule: follows that.
async fn conclude_cut_off(
    stack: &Stack,
    view: &mut View,
    job: &str,
    ended: &Ended,
    json: bool,
) -> Result<Conclusion> {
    let end = &ended.end;
    if end.status == Status::Succeeded {
        bail!("the job succeeded, but its output is no outcome that this version knows: {:?}", end.document);
    }
    show(view, outcome::cut_off(end))?;
    if end.status != Status::Aborted {
        show_log(stack, view, job, None, None).await?;
    }
    let receipt = follow_teardown(stack, view, job, ended).await?;
    if let Some(receipt) = &receipt {
        show(view, outcome::receipt(receipt, &teardown_command(stack, job)))?;
    }
    if json {
        let document = json!({
            "job": job_id(job), "status": end.status.name(), "error": end.error, "message": end.document, "receipt": receipt,
        });
        out::print_json(&document)?;
    }
    let was_stopped_here = ended.stopped_here && end.status == Status::Aborted;
    Ok(Conclusion { code: if was_stopped_here { INTERRUPTED } else { FAILED }, receipt })
}

/// Follows the teardown that the job's end has started; returns its receipt if it comes to one.
async fn follow_teardown(
    stack: &Stack,
    view: &mut View,
    job: &str,
    ended: &Ended,
) -> Result<Option<Receipt>> {
    view.line(Tone::Strong, "teardown, started by the job's end")?;
    let teardown = tokio::select! {
        found = teardown::find(stack, job, ended.end.at) => found?,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt?;
            view.line(Tone::Plain, "the teardown goes on by itself")?;
            return Ok(None);
        }
    };
    let Some(teardown) = teardown else {
        let command = teardown_command(stack, job);
        let text =
            format!("  none has started yet; the sweeper will start one; to start it at once:\n  {command}");
        view.line(Tone::Bad, &text)?;
        return Ok(None);
    };
    match follow(stack, view, &teardown, None, OnInterrupt::Leave, Until::End).await? {
        Followed::Left | Followed::Known(_) => {
            view.line(Tone::Plain, "the teardown goes on by itself")?;
            Ok(None)
        }
        Followed::Ended(Ended { end, seconds, .. }) => {
            show(view, vec![outcome::heading(&end, seconds)])?;
            let receipt = end.document.as_deref().and_then(outcome::receipt_in);
            if receipt.is_none() && end.status != Status::Succeeded {
                show(view, outcome::cut_off(&end))?;
            }
            Ok(receipt)
        }
    }
}

fn teardown_command(stack: &Stack, job: &str) -> String {
    // An id needs no quotes of a shell.
    let (machine, job) = (&stack.tear_down, job_id(job));
    format!(
        "aws stepfunctions start-execution --state-machine-arn {machine} --input '{{\"job\": \"{job}\"}}'"
    )
}

fn show(view: &mut View, lines: Vec<Line>) -> Result<()> {
    lines.into_iter().try_for_each(|(tone, line)| view.line(tone, &line))
}
