//! `mayfly`: runs and follows a job with AWS's own APIs, so that it is the same on AWS and on the local cloud.

mod conclude;
mod container_log;
mod events;
mod follow;
mod report;
mod stack;
mod steps;
mod submit;
mod teardown;
mod view;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use mayfly_common::job::check_id;
use serde_json::json;

use crate::follow::{Followed, OnInterrupt};
use crate::stack::Stack;
use crate::submit::Submission;
use crate::view::{Tone, View};

const EXAMPLES: &str = "\
Examples:
  mayfly run job.json                          run a job and see it through
  mayfly run job.json --json                   the outcome as JSON, for a script
  mayfly run job.json --name nightly --detach  submit a job ...
  mayfly follow nightly                        ... and come back to it
  jq '.capacity = \"on-demand\"' job.json | mayfly run -

Where it runs is the environment's: AWS_PROFILE or AWS_ACCESS_KEY_ID and its companions, AWS_REGION, and on the
local cloud AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_SFN.

Exit code: the job's. 0 if it succeeded; the command's own, 1 to 125, if that was what failed; 1 for any other
failure; 2 for a wrong command line. Ctrl-C asks what to do: 130 if the job was stopped, 0 if it was left running.";

/// Run container jobs on Fargate that leave nothing behind.
#[derive(Parser)]
#[command(name = "mayfly", version, after_help = EXAMPLES)]
struct Arguments {
    /// The CloudFormation stack that Mayfly was deployed as
    #[arg(long, global = true, env = "MAYFLY_STACK", default_value = "mayfly", value_name = "NAME")]
    stack: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Submit a job and follow it to its end
    #[command(after_help = EXAMPLES)]
    Run(Run),
    /// Follow a job that was submitted before, or see how it ended
    Follow(Follow),
}

#[derive(Args)]
struct Run {
    /// The job document, JSON; `-` reads it from standard input
    file: PathBuf,
    /// The job's id: 1 to 64 of A-Z, a-z, 0-9, - and _ [default: the file's name and a random number]
    #[arg(long, value_parser = job_id)]
    name: Option<String>,
    /// Submit the job and leave it running
    #[arg(long)]
    detach: bool,
    /// Print nothing but the outcome, as JSON; progress goes to standard error
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Follow {
    /// The job's id
    #[arg(value_parser = job_id)]
    name: String,
    /// Print nothing but the outcome, as JSON; progress goes to standard error
    #[arg(long)]
    json: bool,
}

fn job_id(text: &str) -> Result<String, String> {
    check_id(text).map(|()| text.to_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { stack, command } = Arguments::parse();
    let done = match command {
        Command::Run(arguments) => run(&stack, arguments).await,
        Command::Follow(Follow { name, json }) => follow(&stack, &name, json).await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("mayfly: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(stack: &str, Run { file, name, detach, json }: Run) -> Result<ExitCode> {
    let submission = Submission::read(&file, name)?;
    let stack = Stack::find(stack).await?;
    let execution = submission.start(&stack).await?;
    if detach {
        let job = &submission.name;
        if json {
            writeln!(stdout(), "{:#}", json!({ "job": job, "executionArn": execution }))?;
        } else {
            let how = how_to_go_on(&stack, job, &execution);
            writeln!(stdout(), "job {job} is running as {execution}\n{how}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    see_through(&stack, &submission.name, &execution, json).await
}

async fn follow(stack: &str, job: &str, json: bool) -> Result<ExitCode> {
    let stack = Stack::find(stack).await?;
    let execution = stack.execution(job);
    see_through(&stack, job, &execution, json).await
}

/// Follows the job to its end, and says how it ended.
async fn see_through(stack: &Stack, job: &str, execution: &str, json: bool) -> Result<ExitCode> {
    let mut view = if json { View::on_stderr() } else { View::on_stdout() };
    view.line(Tone::Strong, &format!("job {job} on stack {}", stack.name))?;
    match follow::follow(stack, &mut view, execution, Some(job), OnInterrupt::Ask).await? {
        Followed::Left => {
            view.line(Tone::Plain, &format!("job {job} goes on\n{}", how_to_go_on(stack, job, execution)))?;
            Ok(ExitCode::SUCCESS)
        }
        Followed::Ended(ended) => conclude::conclude(stack, &mut view, job, &ended, json).await,
    }
}

fn how_to_go_on(stack: &Stack, job: &str, execution: &str) -> String {
    format!(
        "  follow it: mayfly --stack {} follow {job}\n  stop it:   aws stepfunctions stop-execution --execution-arn {execution}",
        stack.name
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
