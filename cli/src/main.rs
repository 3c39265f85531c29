//! `mayfly`, the command line: runs, follows, lists, extends and stops jobs, empties the stack, and brings it images. It
//! calls nothing but AWS's own APIs and registries, so it is the same on AWS and on the local cloud.

// `out` and `view` are the way to the terminal.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod conclude;
mod container_log;
mod drain;
mod events;
mod extend;
mod flags;
mod follow;
mod image;
mod jobs;
mod logs;
mod ls;
mod out;
mod outcome;
mod projection;
mod service;
mod stack;
mod steps;
mod stop;
mod submit;
mod table;
mod teardown;
mod turns;
mod view;
mod waits;
mod words;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::ErrorKind as Wrong;
use clap::{Args, CommandFactory, Parser, Subcommand};
use mayfly_images::Platform;
use mayfly_model::names::{check_execution_name, new_job_id};
use serde_json::json;

use crate::flags::Flags;
use crate::follow::{Followed, OnInterrupt, Until};
use crate::ls::Query;
use crate::stack::Stack;
use crate::submit::Submission;
use crate::view::{Tone, View};

const EXAMPLES: &str = "\
Examples:
  mayfly run job.json                          run a job and see it through
  mayfly run --in s3://b/a.mp4 --out a.gif=s3://b/a.gif -- ffmpeg -i a.mp4 a.gif
                                               the same without a document
  mayfly run job.json --name nightly --detach  submit a job ...
  mayfly follow nightly                        ... and come back to it
  mayfly ls                                    see what runs
  mayfly logs nightly --follow                 read what its containers write
  mayfly extend demo --minutes 60              let a service be called for an hour longer
  mayfly stop nightly                          stop it and see that nothing is left
  mayfly drain                                 see that nothing of any job is left
  mayfly image copy nginx:1.29                 bring an image where every job can pull it

Where it runs is the environment's: AWS_PROFILE or AWS_ACCESS_KEY_ID and its companions, AWS_REGION, and on the
local cloud AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_SFN.

Exit code: 0 if all went well, 1 if not, 2 for a wrong command line; `run` and `follow` have more (see their --help).";

const RUN_EXAMPLES: &str = "\
Examples:
  mayfly run job.json                          run a job and see it through
  mayfly run job.json --json                   the outcome as JSON, for a script
  mayfly run job.json --name nightly --detach  submit a job and leave it running
  mayfly run job.json --set attempts=1         the same job, but for what is set
  mayfly run --cpu 2 --memory 4G --in s3://b/in.mp4 --out s3://b/out.webm -- ffmpeg -i in.mp4 out.webm
  mayfly run job.json --no-teardown-wait       leave as soon as the result is known
  mayfly run --env LEVEL=3 --print -- render   see the document instead of running it
  jq '.capacity = \"on-demand\"' job.json | mayfly run -

Exit code: the job's. 0 if it succeeded; the command's own, 1 to 125, if that was what failed; 1 for any other
failure; 2 for a wrong command line. Ctrl-C asks what to do: 130 if the job was stopped, 0 if it was left running.";

const FOLLOW_EXAMPLES: &str = "\
Examples:
  mayfly follow nightly         see a job through, or see how it ended
  mayfly follow nightly --json  the outcome as JSON, for a script

Exit code: the job's, as that of `mayfly run`.";

const LS_EXAMPLES: &str = "\
Examples:
  mayfly ls                       the jobs that run
  mayfly ls --all --limit 50      and those that have ended, the latest first
  mayfly ls --json | jq '.[].job' their names, for a script

Exit code: 0, also if there is no job; 1 if the jobs could not be listed; 2 for a wrong command line.";

const EXTEND_EXAMPLES: &str = "\
Examples:
  mayfly extend demo --minutes 60  let the service be called for an hour longer

Exit code: 0 if its end was put off; 1 if it was not: no such service can be called, or it would be more than 7 days in
all; 2 for a wrong command line.";

const STOP_EXAMPLES: &str = "\
Examples:
  mayfly stop nightly        ask, stop the job, and see its teardown through
  mayfly stop nightly --yes  the same without a question, for a script

Exit code: 0 if the job was stopped and nothing is left, or if it had ended already; 1 if there is no such job, if
you said no, or if something is left or not proven to be gone; 2 for a wrong command line.";

const LOGS_EXAMPLES: &str = "\
Examples:
  mayfly logs nightly             everything that its containers have written
  mayfly logs nightly --follow    and what they write from now on, until the job has ended
  mayfly logs nightly 2>/dev/null without the lines that say which task begins

Exit code: 0, also if there is no log; 1 if there is no such job; 2 for a wrong command line.";

const DRAIN_EXAMPLES: &str = "\
Examples:
  mayfly drain         wait until no job runs, and see that nothing of any is left
  mayfly drain --stop  the same, but stop the jobs that run

Start no job meanwhile. `make delete` does this and then deletes the stack.

Exit code: 0 if no job runs and nothing is left; 1 if something is left or could not be looked for; 2 for a wrong
command line.";

const IMAGE_EXAMPLES: &str = "\
Examples:
  mayfly image copy nginx:1.29                 copy an image into the stack's repository, and print what to write into
                                               container.image
  mayfly image copy nginx:1.29 --platform all  for every platform that it is for
  mayfly image push-worker --amd64 a --arm64 b push the worker that `make worker` has built

Exit code: 0 if the image is in the repository; 1 if it is not; 2 for a wrong command line.";

const COPY_EXAMPLES: &str = "\
Examples:
  mayfly image copy nginx:1.29                 for the stack's processor
  mayfly image copy nginx:1.29 --platform all  for every platform that it is for
  mayfly image copy ghcr.io/me/tool:2 --username me <token.txt
                                               an image that wants an account
  jq --arg image \"$(mayfly image copy nginx:1.29)\" '.container.image = $image' job.json | mayfly run -

Blob goes by blob from one registry to the other, and what the repository has is not sent again. No container engine is
needed.

Exit code: 0 if the image is in the repository; 1 if it is not; 2 for a wrong command line.";

const PUSH_WORKER_EXAMPLES: &str = "\
Examples:
  make push-worker                             build the worker and push it
  mayfly image push-worker --amd64 a --arm64 b push what was built before

Exit code: 0 if the worker is in the repository; 1 if it is not; 2 for a wrong command line.";

const WEEK_IN_MINUTES: u32 = 7 * 24 * 60;

/// Run container jobs and services on Fargate that leave nothing behind.
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
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<Run>),
    /// Follow a job that was submitted before, or see how it ended
    #[command(after_help = FOLLOW_EXAMPLES)]
    Follow(Follow),
    /// List the jobs that run
    #[command(after_help = LS_EXAMPLES)]
    Ls(Ls),
    /// Put off the end of a service
    #[command(after_help = EXTEND_EXAMPLES)]
    Extend(Extend),
    /// Stop a job and see its teardown through
    #[command(after_help = STOP_EXAMPLES)]
    Stop(Stop),
    /// Print what a job's containers have written in the last 3 days
    #[command(after_help = LOGS_EXAMPLES)]
    Logs(Logs),
    /// See that no job runs and nothing of any is left, before the stack is deleted
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(Drain),
    /// Bring images into the stack's repository
    #[command(after_help = IMAGE_EXAMPLES)]
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
}

#[derive(Subcommand)]
enum ImageCommand {
    /// Copy an image from its registry into the stack's repository
    #[command(after_help = COPY_EXAMPLES)]
    Copy(Copy),
    /// Push the worker as an image of its own
    #[command(after_help = PUSH_WORKER_EXAMPLES)]
    PushWorker(PushWorker),
}

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
struct Run {
    /// The job document, JSON; `-` reads it from standard input
    #[arg(value_name = "FILE", num_args = 0..)]
    words: Vec<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// The job's name, which is also its id if it has at most 64 of A-Z, a-z, 0-9, - and _ [default: the file's, image's
    /// or program's name and a random number]
    #[arg(long, value_parser = new_name)]
    name: Option<String>,
    /// Print the document instead of running it
    #[arg(long, conflicts_with_all = ["detach", "json", "name"])]
    print: bool,
    /// Submit the job and leave it running
    #[arg(long)]
    detach: bool,
    /// Leave as soon as the job's result is known; its teardown goes on by itself
    #[arg(long, conflicts_with_all = ["detach", "json"])]
    no_teardown_wait: bool,
    /// Print nothing but the outcome, as JSON; progress goes to standard error
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Follow {
    /// The job's name or id
    #[arg(value_parser = name)]
    job: String,
    /// Print nothing but the outcome, as JSON; progress goes to standard error
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Ls {
    /// List also the jobs that have ended, the latest first
    #[arg(long)]
    all: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    /// The most jobs to list, at most 100
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=i64::from(ls::LIMIT)))]
    limit: u8,
}

#[derive(Args)]
struct Extend {
    /// The job's name or id
    #[arg(value_parser = name)]
    job: String,
    /// How much longer it may be called; at most 7 days in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(WEEK_IN_MINUTES)))]
    minutes: u32,
}

#[derive(Args)]
struct Stop {
    /// The job's name or id
    #[arg(value_parser = name)]
    job: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
struct Logs {
    /// The job's name or id
    #[arg(value_parser = name)]
    job: String,
    /// Go on until the job has ended and its last lines have come
    #[arg(long)]
    follow: bool,
}

#[derive(Args)]
struct Drain {
    /// Stop the jobs that run instead of waiting for them
    #[arg(long)]
    stop: bool,
}

#[derive(Args)]
struct Copy {
    /// The image, as in `docker.io/library/nginx:1.29`; one without a host is Docker Hub's [default: the stack's
    /// `DefaultImage`, for jobs that name none]
    image: Option<String>,
    /// What to copy of it, as in linux/amd64, or `all`; may be given more than once [default: the stack's processor]
    #[arg(long = "platform", value_name = "PLATFORM", value_parser = platform)]
    platforms: Vec<Option<Platform>>,
    /// Who has an account at the image's registry; the password is read from standard input
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
}

#[derive(Args)]
struct PushWorker {
    /// The static worker for x86-64
    #[arg(long, value_name = "FILE")]
    amd64: PathBuf,
    /// The static worker for ARM64
    #[arg(long, value_name = "FILE")]
    arm64: PathBuf,
}

/// None stands for all.
fn platform(text: &str) -> Result<Option<Platform>, String> {
    if text == "all" { Ok(None) } else { text.parse().map(Some) }
}

fn name(text: &str) -> Result<String, String> {
    check_execution_name(text).map(|()| text.to_owned())
}

fn new_name(text: &str) -> Result<String, String> {
    new_job_id(text).and_then(|_| name(text))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { stack, command } = Arguments::parse();
    execute(&stack, command).await.unwrap_or_else(|error| {
        out::tell(&format!("mayfly: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn execute(stack: &str, command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) => run(stack, *arguments).await,
        Command::Follow(Follow { job, json }) => {
            let stack = Stack::find(stack).await?;
            let job = jobs::name(&stack, job).await?;
            let execution = stack.execution(&job);
            see_through(&stack, &job, &execution, json, Until::End).await
        }
        Command::Ls(Ls { all, json, limit }) => {
            printed(ls::ls(&Stack::find(stack).await?, Query { all, limit, json }).await)
        }
        Command::Extend(Extend { job, minutes }) => {
            let stack = Stack::find(stack).await?;
            let job = jobs::name(&stack, job).await?;
            printed(extend::extend(&stack, &job, minutes).await)
        }
        Command::Stop(Stop { job, yes }) => {
            let stack = Stack::find(stack).await?;
            let job = jobs::name(&stack, job).await?;
            stop::stop(&stack, &mut View::on_stdout(), &job, yes).await
        }
        Command::Logs(Logs { job, follow }) => {
            let stack = Stack::find(stack).await?;
            let job = jobs::name(&stack, job).await?;
            printed(logs::logs(&stack, &job, follow).await)
        }
        Command::Drain(Drain { stop }) => {
            drain::drain(&Stack::find(stack).await?, &mut View::on_stdout(), stop).await
        }
        Command::Image { command: ImageCommand::Copy(Copy { image, platforms, username }) } => {
            printed(image::copy(&Stack::find(stack).await?, image.as_deref(), platforms, username).await)
        }
        Command::Image { command: ImageCommand::PushWorker(PushWorker { amd64, arm64 }) } => {
            printed(image::push_worker(&Stack::find(stack).await?, &amd64, &arm64).await)
        }
    }
}

/// Whoever has read enough has had what he wanted, as in `mayfly logs JOB | head`.
fn printed(done: Result<()>) -> Result<ExitCode> {
    match done {
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(ExitCode::SUCCESS)
        }
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

/// The job of a document, or of what the command line says in place of one.
fn submission(words: &[PathBuf], flags: &Flags, name: Option<String>) -> Result<Submission> {
    let unsaid = |error: anyhow::Error| wrong(Wrong::ValueValidation, &format!("{error:#}"));
    match words {
        [] if !flags.is_empty() => Ok(Submission::said(flags, name).unwrap_or_else(unsaid)),
        [file] if !flags.say_more_than_set() => {
            Ok(Submission::read(file, name)?.changed(flags).unwrap_or_else(unsaid))
        }
        [] => wrong(Wrong::MissingRequiredArgument, "say which job: a FILE, or a COMMAND after `--`"),
        [word, ..] => {
            let word = word.display();
            wrong(
                Wrong::ArgumentConflict,
                &format!(
                    "`{word}` is taken for a job's FILE, beside which --set alone may say what the job is; \
                     a command is what follows `--`, as in `mayfly run --image alpine -- {word}`"
                ),
            )
        }
    }
}

/// Ends this process as a command line does that cannot be read.
fn wrong(kind: Wrong, words: &str) -> ! {
    let mut command = Arguments::command();
    command.build();
    command.find_subcommand_mut("run").expect("it is among the commands").error(kind, words).exit()
}

async fn run(stack: &str, run: Run) -> Result<ExitCode> {
    let Run { words, flags, name, print, detach, no_teardown_wait, json } = run;
    let submission = submission(&words, &flags, name)?;
    if print {
        out::print(&submission.shown()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let stack = Stack::find(stack).await?;
    let execution = submission.start(&stack).await?;
    if detach {
        let job = &submission.name;
        if json {
            out::print_json(&json!({ "job": job, "executionArn": execution }))?;
        } else {
            out::print(&format!("job {job} is running as {execution}\n{}", how_to_go_on(&stack, job)))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let until = if no_teardown_wait { Until::Result } else { Until::End };
    see_through(&stack, &submission.name, &execution, json, until).await
}

/// Follows the job to its end, and says how it ended.
async fn see_through(
    stack: &Stack,
    job: &str,
    execution: &str,
    json: bool,
    until: Until,
) -> Result<ExitCode> {
    let mut view = if json { View::on_stderr() } else { View::on_stdout() };
    view.line(Tone::Strong, &format!("job {job} on stack {}", stack.name))?;
    match follow::follow(stack, &mut view, execution, Some(job), OnInterrupt::Ask, until).await? {
        Followed::Left => {
            view.line(Tone::Plain, &format!("job {job} goes on\n{}", how_to_go_on(stack, job)))?;
            Ok(ExitCode::SUCCESS)
        }
        Followed::Known(end) => {
            view.line(Tone::Plain, &format!("its teardown goes on\n{}", how_to_go_on(stack, job)))?;
            Ok(outcome::exit_code(&end).into())
        }
        Followed::Ended(ended) => {
            Ok(conclude::conclude(stack, &mut view, job, &ended, json).await?.code.into())
        }
    }
}

fn how_to_go_on(Stack { name, .. }: &Stack, job: &str) -> String {
    format!("  follow it: mayfly --stack {name} follow {job}\n  stop it:   mayfly --stack {name} stop {job}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
