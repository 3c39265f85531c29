//! Whatever a job, a command or AWS says, no escape sequence of theirs reaches the terminal; and the end of the output is
//! the same wherever a person sees it.

use std::iter;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Ran};
use crate::failure;
use crate::history::History;
use crate::terminal::Terminal;

/// Sets the title, clears the screen, hides text, writes over a line, and does so in single characters as well.
const EVIL: &str = "\x1b]0;PWNED\x07\x1b[2J\x1b[31mred \u{fffd} bad \x1b[8mhidden\x1b[0m\u{9b}8m\u{202e}";
const SHOWN: &str = "red \u{fffd} bad hidden\u{fffd}8m\u{fffd}";
/// What of it can come from nobody but the job: `mayfly` itself has colours, and moves the cursor for its bars.
const NEVER: [&str; 7] = ["\x1b]", "\x07", "\x1b[2J", "\x1b[31mred", "\x1b[8m", "\u{9b}", "\u{202e}"];

fn is_clean(text: &str) -> bool {
    NEVER.iter().all(|never| !text.contains(never))
}

/// A job that fails, with such text wherever there is room for it.
async fn evil() -> Cloud {
    let cloud = Cloud::start().await;
    let mut document = failure();
    document["message"] = json!(format!("the key {EVIL}"));
    document["output"] = json!(format!("{EVIL}\nSUCCEEDED after 1 s\n\x1b[1A\x1b[2Kspoofed\n"));
    document["receipt"]["created"][0]["id"] = json!(format!("a/{EVIL}"));
    let mut job = History::new(0);
    cloud.shows("evil", job.task_that_retries("PlanJob", EVIL).wait_for_container("DispatchJob"));
    cloud.progress(&json!({ "phase": "running", "percent": 1.0, "line": format!("0 %\r{EVIL}") }));
    cloud.shows("evil", job.callback_comes().fail("CommandFailed", &document.to_string()));
    cloud.log("0123", &[EVIL, "\rprogress 0 %\rprogress 99 %"]);
    cloud.has_job("evil", "FAILED", 0.0, Some(EVIL));
    cloud
}

#[tokio::test]
async fn no_escape_sequence_of_a_job_reaches_a_terminal() {
    for command in [
        &["follow", "evil"][..],
        &["run", "job.json", "--name", "evil"],
        &["run", "job.json", "--name", "evil", "--json"],
        &["logs", "evil"],
        &["ls", "--all"],
        &["ls", "--all", "--json"],
    ] {
        let shown = Terminal::run(evil().await.command(command), 200).end_as_it_is().await;
        assert!(is_clean(&shown), "{command:?}: {shown:?}");
        let Ran { out, error, .. } = evil().await.mayfly(command).await;
        assert!(
            is_clean(&out) && is_clean(&error) && !out.contains('\x1b'),
            "{command:?}: {out:?} {error:?}"
        );
        if !command.contains(&"--json") {
            assert!(out.contains(SHOWN), "{command:?}: {out}");
        }
    }
}

#[tokio::test]
async fn why_a_job_was_stopped_and_what_aws_says_cannot_be_an_escape_sequence() {
    let cloud = Cloud::start().await;
    cloud.shows("stopped", History::new(0).task("PlanJob").abort(EVIL, EVIL));
    cloud.has_teardown("t1", 5.1, &json!({ "job": "stopped" }));
    let left = json!([{ "kind": "Queue", "id": EVIL, "state": EVIL }]);
    let receipt = json!({ "created": [], "deleted": [], "residual": left });
    cloud.shows("t1", History::new(6).fail("LeftoversRemain", &receipt.to_string()));
    let Ran { out, .. } = cloud.mayfly(&["follow", "stopped"]).await;
    assert!(is_clean(&out) && out.contains(&format!("cause    {SHOWN}: {SHOWN}")), "{out:?}");
    assert!(out.contains(&format!("Queue {SHOWN} ({SHOWN})")), "{out}");

    let Ran { error, .. } = cloud.mayfly(&["--stack", EVIL, "run", EVIL]).await;
    assert!(is_clean(&error) && error.contains("could not read"), "{error:?}");
}

/// An error before a hundred updates of a progress line, as the worker reports it and as a log has it.
#[tokio::test]
async fn the_end_of_the_output_is_the_same_in_follow_run_and_json() {
    let error = "ERROR: row 17 of input.csv is malformed";
    let drafts: Vec<_> = (0..100).map(|percent| format!("progress {percent} %")).collect();
    let cloud = Cloud::start().await;
    let mut document = failure();
    document["output"] = json!(format!("{error}\n\r{}\n", drafts.join("\r")));
    // An earlier worker wrote every draft as a line of its own.
    let lines: Vec<_> = iter::once(error).chain(drafts.iter().map(String::as_str)).collect();
    cloud.log("0123", &lines);
    cloud.shows("my-job", History::new(0).fail("CommandFailed", &document.to_string()));

    let end = format!("\nlog      {error}\n         progress 99 %\nreceipt");
    for command in [&["follow", "my-job"][..], &["run", "job.json", "--name", "my-job"]] {
        let out = cloud.mayfly(command).await.out;
        assert!(out.contains(&end), "{out}");
    }
    let Ran { out, error: told, .. } = cloud.mayfly(&["follow", "my-job", "--json"]).await;
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(printed["output"], document["output"]);
    assert!(told.contains(&end), "{told}");
}

#[tokio::test]
async fn a_log_is_folded_where_no_output_was_reported() {
    let cloud = Cloud::start().await;
    let mut document = failure();
    document.as_object_mut().unwrap().remove("output");
    cloud.log("0123", &["ERROR: out of luck", "\rprogress 0 %\rprogress 99 %", "last\r"]);
    cloud.shows("my-job", History::new(0).fail("OutOfMemory", &document.to_string()));
    cloud.has_job("my-job", "FAILED", 0.0, Some("OutOfMemory"));
    let folded = ["ERROR: out of luck", "progress 99 %", "last"];
    let out = cloud.mayfly(&["follow", "my-job"]).await.out;
    assert!(out.contains(&format!("\nlog      {}\n", folded.join("\n         "))), "{out}");
    assert_eq!(cloud.mayfly(&["logs", "my-job"]).await.out, folded.join("\n") + "\n");
}
