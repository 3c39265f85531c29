//! How much of a report is stored: as much as fits, however much it says, since a job's item in DynamoDB must not
//! become too large for the next report.

use mayfly_model::job::Work;
use mayfly_model::message::{Failure, FileSize, Finished, FolderSize, Loss, News, Progress, Report, Room};

use mayfly_jobs::Record;

/// Of a sentence for a person, in characters. It is also the `cause` of `SendTaskFailure`, which may have 32,768.
/// Source: Step Functions API Reference, `SendTaskFailure`.
const MESSAGE_LIMIT: usize = 4_000;
/// Of a command's output, in characters from its end.
const OUTPUT_LIMIT: usize = 4_096;
/// Of a line of progress, in characters.
const LINE_LIMIT: usize = 200;
/// Of a task's ARN, in bytes. The name of its cluster has at most 255.
const ARN_LIMIT: usize = 500;

/// The report with no more in it than is stored, as part of what is known of `job`.
pub fn bounded(report: Report, job: &Record) -> Report {
    let news = match report.news {
        News::Heartbeat(progress) => News::Heartbeat(Progress {
            line: progress.line.map(|line| beginning(&line, LINE_LIMIT)),
            ..progress
        }),
        News::Finished(finished) => News::Finished(Finished {
            outputs: known(&finished.outputs, &job.work),
            folders: known_folders(&finished.folders, &job.work),
            failure: finished.failure.map(shortened),
            ..finished
        }),
        News::Lost(loss) => News::Lost(Loss { failure: shortened(loss.failure), ..loss }),
        wanted @ (News::UrlsWanted { .. } | News::PageWanted { .. } | News::PartsWanted(_)) => wanted,
    };
    // DynamoDB has no empty text in a set.
    // Source: DynamoDB developer guide, "Supported data types and naming rules", sets.
    let task_arn = report.task_arn.filter(|arn| (1..=ARN_LIMIT).contains(&arn.len()));
    Report { task_arn, news, ..report }
}

/// The outputs that the job has, each once.
fn known(delivered: &[FileSize], work: &Work) -> Vec<FileSize> {
    let of_output = |file: &String| delivered.iter().find(|delivered| delivered.file == *file).cloned();
    work.outputs.iter().filter_map(|output| of_output(&output.file)).collect()
}

/// The same of folders and patterns, with as many files as there is room for.
fn known_folders(delivered: &[FolderSize], work: &Work) -> Vec<FolderSize> {
    let mut room = Room::default();
    let of_output = |file: &String| delivered.iter().find(|delivered| delivered.file == *file);
    let known = work.outputs.iter().filter_map(|output| of_output(&output.file));
    let bounded = known.map(|folder| {
        let first = folder.first.iter().take_while(|file| room.takes(file)).cloned().collect();
        FolderSize { first, ..folder.clone() }
    });
    bounded.collect()
}

fn shortened(failure: Failure) -> Failure {
    let output = failure.output.map(|output| {
        let start = output.char_indices().nth_back(OUTPUT_LIMIT - 1).map_or(0, |(start, _)| start);
        output[start..].to_owned()
    });
    Failure { message: beginning(&failure.message, MESSAGE_LIMIT), output, ..failure }
}

fn beginning(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

#[cfg(test)]
mod tests {
    use mayfly_jobs::ENDED_TASKS_LIMIT;
    use mayfly_model::class::Class;
    use mayfly_model::job::{Capacity, Output};
    use mayfly_model::message::Phase;
    use mayfly_model::parts::PartedUpload;
    use mayfly_model::turn::{Provider, Turn};

    use super::*;

    /// Source: DynamoDB developer guide, "Constraints in Amazon DynamoDB", item size.
    const ITEM_LIMIT: usize = 400 * 1024;

    /// Of a character that takes most in JSON.
    fn worst(length: usize) -> String {
        "\u{1}".repeat(length)
    }

    /// An output's; every other is a folder.
    fn name(n: usize) -> String {
        format!("{n}{}{}", worst(30), if n.is_multiple_of(2) { "/" } else { "" })
    }

    fn job() -> Record {
        let output = |n| Output { file: name(n), ..Output::default() };
        Record {
            job: "job".into(),
            turn: Turn::first(Provider::Spot),
            token: "t".repeat(1024),
            nonce: "n".repeat(32),
            mailbox: "m".repeat(200),
            capacity: Capacity::Spot,
            hosts: mayfly_jobs::signing::Hosts::default(),
            work: Work { outputs: (0..100).map(output).collect(), ..Work::default() },
            task_arn: None,
            ended_tasks: vec!["a".repeat(ARN_LIMIT); ENDED_TASKS_LIMIT],
            loss: None,
            result: None,
            has_worked: false,
            is_concluded: false,
            uploads: Vec::new(),
        }
    }

    fn report(news: News, task_arn: &str) -> Report {
        let turn = Turn::first(Provider::Spot);
        Report { job: "job".into(), turn, nonce: String::new(), task_arn: Some(task_arn.into()), news }
    }

    fn length_of(news: News) -> usize {
        serde_json::to_string(&bounded(report(news, "a"), &job()).news).unwrap().len()
    }

    #[test]
    fn an_item_has_room_for_whatever_a_container_says() {
        let failure =
            Failure { class: Class::CommandFailed, message: worst(1 << 20), output: Some(worst(1 << 20)) };
        let outputs = (0..1000).map(|n| FileSize { file: name(n), bytes: 1 }).collect();
        let first = (0..1000).map(|n| FileSize { file: format!("{n}{}", worst(1024)), bytes: 1 }).collect();
        let folder = FolderSize { files: 1000, bytes: 1000, first, ..FolderSize::default() };
        let folders = (0..1000).map(|n| FolderSize { file: name(n), ..folder.clone() }).collect();
        let progress = Progress { phase: Phase::Running, percent: None, line: Some(worst(1 << 20)) };
        let result = length_of(News::Finished(Finished {
            seconds: 1.0,
            exit_code: None,
            outputs,
            folders,
            failure: Some(failure.clone()),
            log_truncated: true,
        }));
        let ended = job().ended_tasks.concat().len();
        let work = serde_json::to_string(&job().work).unwrap().len();
        let loss = News::Lost(Loss { failure, given_up: false });
        let upload = |output: &Output| PartedUpload {
            file: output.file.clone(),
            to: worst(30),
            start: u32::MAX,
            bytes: u64::MAX,
            // Others have seen 128 characters; AWS says nothing of their number.
            id: Some("i".repeat(256)),
            asked: i64::MAX,
            unknown_since: Some(i64::MAX),
        };
        let uploads: Vec<_> = job().work.outputs.iter().map(upload).collect();
        let uploads = serde_json::to_string(&uploads).unwrap().len();
        let sum = result + length_of(loss) + length_of(News::Heartbeat(progress)) + ended + work + uploads;
        assert!(sum < ITEM_LIMIT, "{sum} bytes");
    }

    #[test]
    fn of_what_is_too_long_the_part_is_kept_that_tells_most() {
        let failure = Failure {
            class: Class::CommandFailed,
            message: format!("first {}", "x".repeat(5000)),
            output: Some(format!("{} last", "x".repeat(5000))),
        };
        let loss = News::Lost(Loss { failure, given_up: false });
        let News::Lost(Loss { failure: kept, .. }) = bounded(report(loss, ""), &job()).news else {
            panic!("a loss")
        };
        assert!(kept.message.starts_with("first ") && kept.message.len() == MESSAGE_LIMIT);
        assert!(kept.output.is_some_and(|output| output.ends_with(" last") && output.len() == OUTPUT_LIMIT));
    }

    #[test]
    fn a_task_without_a_usable_arn_is_none() {
        for (arn, is_kept) in [("", false), ("arn:aws:ecs:…", true), (worst(501).as_str(), false)] {
            let lost = News::UrlsWanted { downloads: Vec::new(), uploads: Vec::new() };
            assert_eq!(bounded(report(lost, arn), &job()).task_arn.is_some(), is_kept);
        }
    }
}
