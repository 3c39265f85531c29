//! How a job ended: read from an execution's document, put into lines for a person, and into an exit code.

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use mayfly_model::class::Class;
use mayfly_model::inventory::{Kind, Named, Receipt, Resource};
use mayfly_model::outcome::{self, Delivered, JobFailure, JobResult, Outcome, ServiceResult, Success};
use serde::Deserialize;

use crate::events::{End, Status};
use crate::view::{Line, Tone};
use crate::words::duration;

/// What is to be said of a log from which something is missing.
const LOG_TRUNCATED: &str = "a part of the log may be missing, since CloudWatch Logs stood still";

/// The outcome in an execution's output or cause; none in the cause of an execution that was cut off, for example by
/// a time-out.
pub fn read(document: &str) -> Option<Outcome> {
    serde_json::from_str(document).ok()
}

/// The heading, green or red.
pub fn heading(end: &End, seconds: f64) -> Line {
    let tone = if end.status == Status::Succeeded { Tone::Good } else { Tone::Bad };
    (tone, format!("{} after {}", end.status.name(), duration(seconds)))
}

/// What the job made, or why it failed.
pub fn lines_of(end: &outcome::End) -> Vec<Line> {
    match end {
        outcome::End::Succeeded(Success::Work(done)) => result(done),
        outcome::End::Succeeded(Success::Service(done)) => service(done),
        outcome::End::Failed(why) => failure(why),
    }
}

/// What the job made.
fn result(result: &JobResult) -> Vec<Line> {
    let JobResult { exit_code, attempt, capacity, seconds, outputs, log_truncated, .. } = result;
    let (capacity, seconds) = (capacity.name(), duration(*seconds));
    let mut lines =
        vec![format!("exit code {exit_code}, attempt {attempt}, {capacity}, {seconds} in the container")];
    lines.extend(outputs.iter().map(delivered));
    lines.extend(log_truncated.then(|| LOG_TRUNCATED.to_owned()));
    section("result", Tone::Plain, lines)
}

/// An output in its place.
fn delivered(output: &Delivered) -> String {
    let size = HumanBytes(output.bytes);
    let files =
        output.files.map(|files| if files == 1 { "1 file, ".into() } else { format!("{files} files, ") });
    format!("{} -> {}  {}{size}", output.file, output.to, files.unwrap_or_default())
}

/// How the service went.
fn service(result: &ServiceResult) -> Vec<Line> {
    let ServiceResult { seconds, containers, capacity, url, reason, .. } = result;
    let (capacity, seconds) = (capacity.name(), duration(*seconds));
    let containers = if *containers == 1 { "1 container".into() } else { format!("{containers} containers") };
    let called = url.iter().map(|url| format!("it was called at {url}"));
    let lines =
        std::iter::once(format!("{reason}; it could be called for {seconds}, {containers}, {capacity}"));
    section("result", Tone::Plain, lines.chain(called).collect())
}

/// Why the job failed.
fn failure(failure: &JobFailure) -> Vec<Line> {
    let mut lines = section("failure", Tone::Bad, vec![format!("{}: {}", failure.error, failure.message)]);
    let attempt = failure.attempt.map(|attempt| format!("attempt {attempt}"));
    let exit_code = failure.exit_code.map(|code| format!("exit code {code}"));
    let details: Vec<_> = [attempt, exit_code, failure.task_arn.clone()].into_iter().flatten().collect();
    if !details.is_empty() {
        lines.extend(section("", Tone::Plain, vec![details.join(", ")]));
    }
    if failure.log_truncated {
        lines.extend(section("", Tone::Plain, vec![LOG_TRUNCATED.to_owned()]));
    }
    let there: Vec<_> = failure.outputs.iter().map(delivered).collect();
    if !there.is_empty() {
        lines.extend(section("there is", Tone::Plain, there));
    }
    lines
}

/// What a person should do about it.
pub fn remedy(failure: &JobFailure) -> Vec<Line> {
    section("remedy", Tone::Strong, vec![failure.error.remedy(&failure.message).to_owned()])
}

/// Why an execution ended that did not live to tell it.
pub fn cut_off(end: &End) -> Vec<Line> {
    let cause = end.document.as_deref().unwrap_or_default();
    let text = match (end.error.as_deref().unwrap_or_default(), cause) {
        ("", "") if end.status == Status::Aborted => "somebody stopped it".to_owned(),
        ("", "") => "no error was given".to_owned(),
        ("", text) | (text, "") => text.to_owned(),
        (error, cause) => format!("{error}: {cause}"),
    };
    section("cause", Tone::Bad, text.lines().map(Into::into).collect())
}

/// The last lines of a container's output.
pub fn log(lines: &[String]) -> Vec<Line> {
    section("log", Tone::Plain, lines.to_vec())
}

/// What was created, by kind, and that it is gone; else what is left, and what will become of it.
///
/// `retry` is the command that starts another teardown.
pub fn receipt(receipt: &Receipt, retry: &str) -> Vec<Line> {
    let Receipt { created, deleted, residual } = receipt;
    if created.is_empty() && residual.is_empty() {
        return section("receipt", Tone::Plain, vec!["nothing was created, nothing is left".into()]);
    }
    let gone = format!("created {}, deleted {}", created.len(), deleted.len());
    if residual.is_empty() {
        let lines = std::iter::once(format!("{gone}, nothing is left")).chain(by_kind(created));
        return section("receipt", Tone::Plain, lines.collect());
    }
    let mut lines = section("receipt", Tone::Bad, vec![format!("{gone}, {} left:", residual.len())]);
    let left = residual.iter().map(Resource::to_string).collect();
    lines.extend(section("", Tone::Bad, left));
    let advice = vec!["the sweeper tries again by itself; to try at once:".into(), format!("  {retry}")];
    lines.extend(section("", Tone::Plain, advice));
    lines
}

/// The receipt in a teardown's output or cause: the document itself, or its `receipt`.
pub fn receipt_in(document: &str) -> Option<Receipt> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Document {
        Around { receipt: Receipt },
        Bare(Receipt),
    }
    match serde_json::from_str(document).ok()? {
        Document::Around { receipt } | Document::Bare(receipt) => Some(receipt),
    }
}

/// The exit code that stands for what a job has come to.
pub fn exit_code(end: &outcome::End) -> u8 {
    let Some(failure) = end.failure() else { return 0 };
    let of_command = failure.exit_code.filter(|_| failure.error == Class::CommandFailed);
    // Beyond 125 are a shell's own: not executable, not found, killed by a signal.
    of_command.and_then(|code| u8::try_from(code).ok()).filter(|code| (1..=125).contains(code)).unwrap_or(1)
}

/// A line for each kind, with the names of all that are of it.
fn by_kind(created: &[Named]) -> Vec<String> {
    let mut names: BTreeMap<Kind, Vec<&str>> = BTreeMap::new();
    for Named { kind, id } in created {
        // An ARN or a URL ends with what a person knows it by.
        names.entry(*kind).or_default().push(id.rsplit('/').next().unwrap_or_default());
    }
    names
        .into_iter()
        .map(|(kind, names)| format!("{:<18}{}", format!("{kind:?}"), names.join(", ")))
        .collect()
}

/// Lines under a label in the margin.
fn section(label: &str, tone: Tone, lines: Vec<String>) -> Vec<Line> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.zip(lines).map(|(label, line)| (tone, format!("{label:<9}{line}"))).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mayfly_model::inventory::Resource;
    use serde_json::json;

    use super::*;

    fn text(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|(_, line)| line).collect()
    }

    fn failed(error: &str, exit_code: i64) -> Outcome {
        let document = json!({
            "job": "j", "status": "FAILED", "error": error, "message": "the command `ffmpeg` ended with a code",
            "attempt": 1, "exitCode": exit_code, "receipt": { "created": [], "deleted": [], "residual": [] }
        });
        read(&document.to_string()).unwrap()
    }

    #[test]
    fn a_success_says_what_was_made_and_that_nothing_is_left() {
        let created = json!([
            { "kind": "Queue", "id": "https://sqs.eu-west-1.amazonaws.com/111111111111/mayfly-j" },
            { "kind": "Task", "id": "arn:aws:ecs:eu-west-1:111111111111:task/mayfly/0123" },
            { "kind": "Subnet", "id": "subnet-b" },
            { "kind": "Subnet", "id": "subnet-a" }
        ]);
        let document = json!({
            "job": "j", "status": "SUCCEEDED",
            "result": { "exitCode": 0, "attempt": 1, "capacity": "FARGATE_SPOT", "seconds": 4.12, "taskArn": "t",
                "outputs": [ { "file": "out.mp4", "to": "s3://bucket/out.mp4", "bytes": 1_258_291 },
                             { "file": "hls/", "to": "s3://bucket/show/", "bytes": 1024, "files": 12, "more": 12 } ] },
            "receipt": { "created": created, "deleted": created, "residual": [] }
        });
        let outcome = read(&document.to_string()).unwrap();
        assert_eq!(
            text(result(outcome.end.result().unwrap())),
            [
                "result   exit code 0, attempt 1, FARGATE_SPOT, 4.1 s in the container",
                "         out.mp4 -> s3://bucket/out.mp4  1.20 MiB",
                "         hls/ -> s3://bucket/show/  12 files, 1.00 KiB"
            ]
        );
        assert_eq!(
            text(receipt(&outcome.receipt, "again")),
            [
                "receipt  created 4, deleted 4, nothing is left",
                "         Task              0123",
                "         Queue             mayfly-j",
                "         Subnet            subnet-b, subnet-a",
            ]
        );
        assert_eq!(exit_code(&outcome.end), 0);
    }

    #[test]
    fn a_failure_says_why() {
        assert_eq!(
            text(failure(failed("CommandFailed", 3).end.failure().unwrap())),
            [
                "failure  CommandFailed: the command `ffmpeg` ended with a code",
                "         attempt 1, exit code 3"
            ]
        );
    }

    #[test]
    fn the_exit_code_is_the_commands_own_where_that_failed() {
        assert_eq!(exit_code(&failed("CommandFailed", 3).end), 3);
        assert_eq!(exit_code(&failed("CommandFailed", 125).end), 125);
        assert_eq!(exit_code(&failed("CommandFailed", 137).end), 1);
        assert_eq!(exit_code(&failed("CommandFailed", -1).end), 1);
        assert_eq!(exit_code(&failed("OutOfMemory", 3).end), 1);
    }

    #[test]
    fn what_is_left_is_named_in_red_with_the_remedy() {
        let mut left = Receipt::default();
        left.update(&[Resource::new(Kind::Service, "arn", "DRAINING")]);
        let lines = receipt(&left, "aws stepfunctions start-execution");
        assert!(lines[..2].iter().all(|(tone, _)| *tone == Tone::Bad));
        assert_eq!(
            text(lines),
            [
                "receipt  created 1, deleted 0, 1 left:",
                "         Service arn (DRAINING)",
                "         the sweeper tries again by itself; to try at once:",
                "           aws stepfunctions start-execution",
            ]
        );
    }

    #[test]
    fn a_job_that_was_refused_has_created_nothing() {
        assert_eq!(text(receipt(&Receipt::default(), "")), ["receipt  nothing was created, nothing is left"]);
    }

    #[test]
    fn a_cause_that_is_no_document_is_shown_as_it_is() {
        let end = |error: Option<&str>, cause: Option<&str>| End {
            status: Status::Aborted,
            at: Timestamp::UNIX_EPOCH,
            document: cause.map(Into::into),
            error: error.map(Into::into),
        };
        assert_eq!(text(cut_off(&end(Some("Stopped"), Some("by alice")))), ["cause    Stopped: by alice"]);
        assert_eq!(text(cut_off(&end(Some("States.Timeout"), None))), ["cause    States.Timeout"]);
        assert_eq!(text(cut_off(&end(None, None))), ["cause    somebody stopped it"]);
        assert_eq!(read("by alice"), None);
        assert_eq!(
            read(r#"{"job":"j","status":"FAILED","receipt":{"created":[],"deleted":[],"residual":[]}}"#),
            None
        );
    }

    #[test]
    fn a_teardown_hands_over_its_receipt_bare_or_in_a_document() {
        let bare = json!({ "created": [], "deleted": [], "residual": [] });
        assert_eq!(receipt_in(&bare.to_string()), Some(Receipt::default()));
        assert_eq!(receipt_in(&json!({ "job": "j", "receipt": bare }).to_string()), Some(Receipt::default()));
        assert_eq!(receipt_in("States.Timeout"), None);
    }
}
