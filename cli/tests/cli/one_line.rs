//! A job without a document: what the command line says is what is sent.

use serde_json::{Value, json};

use crate::cloud::{Cloud, DOCUMENT, Ran};

#[tokio::test]
async fn a_job_is_said_on_the_command_line() {
    let cloud = Cloud::start().await;
    let line = "run --image alpine --in s3://b/a.txt --out n=s3://b/n --cpu 2 --memory 4G --env K=V --detach -- sh -c wc";
    let Ran { code, out, error } = cloud.mayfly(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.starts_with("job alpine-"), "{out}");
    let started = cloud.calls_of("StartExecution");
    let sent: Value = serde_json::from_str(started[0]["input"].as_str().unwrap()).unwrap();
    let expected = json!({
        "container": { "image": "alpine", "cpu": 2048, "memoryMiB": 4096, "environment": { "K": "V" } },
        "task": { "inputs": [{ "file": "a.txt", "from": "s3://b/a.txt" }],
                  "outputs": [{ "file": "n", "to": "s3://b/n" }], "command": ["sh", "-c", "wc"] },
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_document_is_shown_and_not_run() {
    let cloud = Cloud::start().await;
    let Ran { code, out, .. } = cloud.mayfly(&["run", "job.json", "--set", "attempts=1", "--print"]).await;
    assert_eq!(code, 0);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown, json!({ "task": { "command": ["true"] }, "attempts": 1 }));
    let Ran { out, .. } = cloud.mayfly(&["run", "job.json", "--print"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap(),
        serde_json::from_str::<Value>(DOCUMENT).unwrap()
    );
    assert!(cloud.calls_of("StartExecution").is_empty());
}

#[tokio::test]
async fn a_command_line_that_says_no_job_or_two_is_refused_in_words() {
    let cloud = Cloud::start().await;
    for (line, told) in [
        ("run", "say which job: a FILE, or a COMMAND after `--`"),
        ("run --image alpine sh", "a command is what follows `--`, as in `mayfly run --image alpine -- sh`"),
        ("run job.json --cpu 2", "beside which --set alone"),
        ("run job.json other.json", "taken for a job's FILE"),
        ("run --spot --capacity spot -- true", "leave one of them out"),
        ("run job.json --set task.command.x=1", "no object"),
    ] {
        let Ran { code, error, .. } = cloud.mayfly(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(code, 2, "{line}: {error}");
        assert!(error.contains(told), "{line}: {error}");
    }
    assert!(cloud.calls_of("StartExecution").is_empty());
}
