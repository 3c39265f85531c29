//! The command line against a scripted cloud: what a person types, what he sees, and the exit code.

mod cloud;
mod drain;
mod escapes;
mod help;
mod history;
mod images;
mod logs;
mod ls;
mod names;
mod one_line;
mod services;
mod stop;
mod terminal;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cloud::{Cloud, DOCUMENT, Ran};
use crate::history::History;

#[tokio::test]
async fn a_job_is_followed_to_its_success() {
    let cloud = Cloud::start().await;
    let mut job = History::new(0);
    cloud.shows("my-job", job.task("PlanJob").wait_for_container("DispatchJob"));
    cloud.progress(&json!({ "phase": "running", "percent": 42.5, "line": "frame=7" }));
    job.callback_comes().nested("TearDown", &cloud::execution("tear-down", "t1"), 8);
    cloud.shows("my-job", job.succeed(&success().to_string()));
    let mut teardown = History::new(12);
    cloud.shows("t1", teardown.task_that_retries("DeleteQueue", "StillInUse").succeed("{}"));

    let Ran { code, out, error } = cloud.mayfly(&["run", "job.json", "--name", "my-job"]).await;

    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(
        out,
        "\
job my-job on stack mayfly
  00:00:04  PlanJob .................... 3.0 s
  00:00:05  DispatchJob                  the container starts
  CLOCK  DispatchJob                  running      42 %  frame=7
  00:00:09  DispatchJob ................ 4.0 s
  00:00:10  TearDown
  00:00:15    DeleteQueue                StillInUse: StillInUse, in words
  00:00:18    DeleteQueue .............. 5.0 s, 2 tries
  00:00:23  TearDown ................... 13.0 s
SUCCEEDED after 24.0 s
result   exit code 0, attempt 1, FARGATE_SPOT, 4.1 s in the container
         out.mp4 -> s3://bucket/out.mp4  1.20 MiB
receipt  created 2, deleted 2, nothing is left
         Service           s
         Queue             q
"
    );
    let started = cloud.calls_of("StartExecution");
    assert_eq!(started[0]["name"], "my-job");
    assert_eq!(started[0]["input"], DOCUMENT, "the document is sent as it is");
}

#[tokio::test]
async fn a_result_is_shown_when_it_is_known_and_the_teardown_below_it() {
    let cloud = Cloud::start().await;
    let mut job = History::new(0);
    job.task("PlanJob").wait_for_container("DispatchJob").callback_comes();
    let ending = json!({ "next": "CONCLUDE", "reported": true, "result": success()["result"] });
    let input = json!({ "collected": { "ending": ending } });
    job.nested_with_input("TearDown", &input, &cloud::execution("tear-down", "t1"), 8);
    cloud.shows("my-job", job.succeed(&success().to_string()));
    cloud.shows("t1", History::new(12).task("DeleteQueue").succeed("{}"));

    let Ran { code, out, .. } = cloud.mayfly(&["run", "job.json", "--name", "my-job"]).await;

    assert_eq!(code, 0);
    let place = |text: &str| out.find(text).unwrap_or_else(|| panic!("no {text} in {out}"));
    assert!(place("result   exit code 0") < place("DeleteQueue"), "{out}");
    assert!(place("DeleteQueue") < place("SUCCEEDED after"), "{out}");
    assert_eq!(out.matches("exit code 0").count(), 1, "it is shown once: {out}");
    assert!(place("SUCCEEDED after") < place("receipt "), "{out}");
}

#[tokio::test]
async fn nobody_has_to_wait_for_a_teardown() {
    let cloud = Cloud::start().await;
    let mut job = History::new(0);
    job.task("PlanJob");
    let ending = json!({ "next": "CONCLUDE", "reported": true, "failure": {
        "error": "CommandFailed", "message": "the command `ffmpeg` ended with code 3", "exitCode": 3 } });
    let input = json!({ "collected": { "ending": ending } });
    job.nested_with_input("TearDown", &input, &cloud::execution("tear-down", "t1"), 8);
    cloud.shows("my-job", &job);
    cloud.shows("t1", &History::new(12));

    let Ran { code, out, .. } =
        cloud.mayfly(&["run", "job.json", "--name", "my-job", "--no-teardown-wait"]).await;

    assert_eq!(code, 3);
    assert!(out.contains("failure  CommandFailed: the command `ffmpeg` ended with code 3"), "{out}");
    assert!(out.ends_with(
        "its teardown goes on\n  follow it: mayfly --stack mayfly follow my-job\n  stop it:   mayfly --stack mayfly stop my-job\n"
    ), "{out}");
}

#[tokio::test]
async fn a_failed_command_gives_its_exit_code_and_shows_the_output_that_it_reported() {
    let cloud = Cloud::start().await;
    cloud.shows("my-job", History::new(0).fail("CommandFailed", &failure().to_string()));
    cloud.log("0123", &["Conversion failed!", "ended with 3"]);

    let Ran { code, out, .. } = cloud.mayfly(&["follow", "my-job"]).await;

    assert_eq!(code, 3);
    assert_eq!(
        out,
        "\
job my-job on stack mayfly
FAILED after 1.0 s
failure  CommandFailed: the command `ffmpeg` ended with code 3
         attempt 1, exit code 3, arn:aws:ecs:eu-west-1:111111111111:task/mayfly/0123
log      reported output
receipt  created 2, deleted 2, nothing is left
         Service           s
         Queue             q
remedy   Read the end of the output, try the command on your own machine, and correct it or its inputs.
"
    );
}

#[tokio::test]
async fn the_containers_log_stands_in_for_an_output_that_was_not_reported() {
    let cloud = Cloud::start().await;
    let mut document = failure();
    document.as_object_mut().unwrap().remove("output");
    cloud.shows("my-job", History::new(0).fail("OutOfMemory", &document.to_string()));
    cloud.log("0122", &["of another start"]);
    cloud.log("0123", &["Conversion failed!", "ended with 3"]);
    let Ran { out, .. } = cloud.mayfly(&["follow", "my-job"]).await;
    assert!(out.contains("\nlog      Conversion failed!\n         ended with 3\n"), "{out}");
}

#[tokio::test]
async fn json_is_the_outcome_and_nothing_else() {
    let cloud = Cloud::start().await;
    cloud.shows("my-job", History::new(0).task("PlanJob").succeed(&success().to_string()));
    let Ran { code, out, error } = cloud.mayfly(&["run", "job.json", "--name", "my-job", "--json"]).await;
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), success(), "unknown fields are kept");
    assert!(error.contains("PlanJob ...."), "progress goes to standard error: {error}");
}

#[tokio::test]
async fn every_start_and_change_of_capacity_is_told_in_words() {
    let cloud = Cloud::start().await;
    let turn = |start: u32, launch: u32, provider: &str| {
        json!({ "attempt": 1, "start": start, "launch": launch, "provider": provider, "losses": start - 1,
                "failedStarts": 0 })
    };
    let mut job = History::new(0);
    job.wait_for_container("DispatchJob").start_is_lost(
        "SpotInterrupted",
        "DISPATCH",
        &turn(2, 1, "FARGATE_SPOT"),
    );
    job.wait_for_container("DispatchJob").start_is_lost(
        "SpotInterrupted",
        "RELAUNCH",
        &turn(3, 2, "FARGATE"),
    );
    job.task("DeleteService").task("AStateThatThisVersionHasNeverHeardOf");
    job.wait_for_container("DispatchJob").callback_comes();
    cloud.shows("my-job", job.succeed(&success().to_string()));

    let Ran { out, .. } = cloud.mayfly(&["follow", "my-job"]).await;

    let (steps, _) = out.split_once("SUCCEEDED").unwrap();
    assert_eq!(
        steps,
        "\
job my-job on stack mayfly
  00:00:04  DispatchJob                  SpotInterrupted: in words
  00:00:05  DispatchJob ................ failed after 4.0 s
  00:00:09  CollectResult .............. 3.0 s
  00:00:09  Spot capacity was taken back; start 2 waits for its container
  00:00:13  DispatchJob                  SpotInterrupted: in words
  00:00:14  DispatchJob ................ failed after 4.0 s
  00:00:18  CollectResult .............. 3.0 s
  00:00:18  Spot capacity was taken back; start 3 moves to on-demand capacity
  00:00:22  DeleteService .............. 3.0 s
  00:00:26  AStateThatThisVersionHasNeverHeardOf  3.0 s
  00:00:31  DispatchJob ................ 4.0 s
"
    );
}

#[tokio::test]
async fn a_history_of_several_pages_is_shown_whole_and_once() {
    let cloud = Cloud::start().await;
    let mut job = History::new(0);
    for step in 0..40 {
        job.task(&format!("Step{step}"));
    }
    cloud.shows("my-job", &job);
    for step in 40..80 {
        job.task(&format!("Step{step}"));
    }
    cloud.shows("my-job", job.succeed(&success().to_string()));
    let Ran { out, .. } = cloud.mayfly(&["follow", "my-job"]).await;
    let shown: Vec<_> = out.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let steps: Vec<_> = (0..80).map(|step| format!("Step{step}")).collect();
    assert_eq!(shown[1..81], steps);
}

#[tokio::test]
async fn a_detached_job_is_only_submitted() {
    let cloud = Cloud::start().await;
    let Ran { code, out, .. } = cloud.mayfly(&["run", "job.json", "--detach"]).await;
    assert_eq!(code, 0);
    let name = cloud.calls_of("StartExecution")[0]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("job-"), "{name}");
    assert!(out.contains(&cloud::execution("run-job", &name)), "{out}");
    assert!(out.contains(&format!("mayfly --stack mayfly follow {name}")), "{out}");
    assert!(out.contains(&format!("mayfly --stack mayfly stop {name}")), "{out}");
    assert_eq!(cloud.calls_of("GetExecutionHistory"), [] as [Value; 0]);
}

#[tokio::test]
async fn a_job_that_somebody_stopped_is_seen_through_its_teardown() {
    let cloud = Cloud::start().await;
    let mut job = History::new(0);
    cloud.shows(
        "my-job",
        job.wait_for_container("DispatchJob").abort("Stopped", "stopped by alice with mayfly"),
    );
    cloud.has_teardown("of-another-job", 4.2, &json!({ "job": "my-job-2" }));
    cloud.has_teardown("of-this-job", 4.1, &json!({ "job": "my-job", "receipt": {} }));
    cloud.has_teardown("of-this-job-earlier", 1.0, &json!({ "job": "my-job" }));
    let output = json!({ "job": "my-job", "receipt": nothing_left() }).to_string();
    cloud.shows("of-this-job", History::new(5).task("DeleteQueue").succeed(&output));

    let Ran { code, out, .. } = cloud.mayfly(&["follow", "my-job"]).await;

    assert_eq!(code, 1);
    assert_eq!(
        out,
        "\
job my-job on stack mayfly
  00:00:04  DispatchJob ................ stopped after 3.0 s
ABORTED after 4.0 s
cause    Stopped: stopped by alice with mayfly
teardown, started by the job's end
  00:00:09  DeleteQueue ................ 3.0 s
SUCCEEDED after 5.0 s
receipt  created 2, deleted 2, nothing is left
         Service           s
         Queue             q
"
    );
}

#[tokio::test]
async fn ctrl_c_in_a_pipe_leaves_the_job_running() {
    let cloud = Cloud::start().await;
    cloud.shows("my-job", History::new(0).wait_for_container("DispatchJob"));
    let mut mayfly = cloud.command(&["follow", "my-job"]).spawn().unwrap();
    let mut lines = BufReader::new(mayfly.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("DispatchJob") {}

    kill(Pid::from_raw(mayfly.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();

    assert!(mayfly.wait().await.unwrap().success());
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "job my-job goes on");
    assert_eq!(cloud.calls_of("StopExecution"), [] as [Value; 0]);
}

/// Every command, with the job `my-job`.
const COMMANDS: [&[&str]; 5] = [
    &["run", "job.json", "--name", "my-job"],
    &["follow", "my-job"],
    &["ls"],
    &["stop", "my-job", "--yes"],
    &["logs", "my-job"],
];

#[tokio::test]
async fn what_is_missing_is_said_with_its_remedy_by_every_command() {
    let cloud = Cloud::start().await;
    for command in COMMANDS.iter().filter(|command| command.len() > 1 && command[0] != "run") {
        let Ran { code, error, .. } = cloud.mayfly(command).await;
        assert_eq!(code, 1);
        assert!(error.contains("stack `mayfly` has no job `my-job`"), "{command:?}: {error}");
    }

    cloud.name_is_taken();
    let error = cloud.mayfly(&["run", "job.json", "--name", "my-job"]).await.error;
    assert!(error.contains("see it with `mayfly follow my-job`, or choose another --name"), "{error}");

    cloud.has_no_stack();
    for command in COMMANDS {
        let Ran { code, error, .. } = cloud.mayfly(command).await;
        assert_eq!(code, 1);
        assert!(
            error.contains("there is no stack `mayfly` in eu-west-1; name another with --stack"),
            "{error}"
        );

        for (variable, remedy) in [("AWS_REGION", "set AWS_REGION"), ("AWS_ACCESS_KEY_ID", "aws sso login")] {
            let ran = cloud.command(command).env_remove(variable).output().await.unwrap();
            let error = String::from_utf8(ran.stderr).unwrap();
            assert!(error.contains(remedy), "{command:?} without {variable}: {error}");
        }
    }
}

#[tokio::test]
async fn a_call_that_is_throttled_is_made_again_and_at_last_told() {
    let cloud = Cloud::start().await;
    cloud.shows("my-job", History::new(0).succeed(&success().to_string()));
    cloud.refuses("GetExecutionHistory", 1, "ThrottlingException");
    assert_eq!(cloud.mayfly(&["follow", "my-job"]).await.code, 0);
    assert_eq!(cloud.calls_of("GetExecutionHistory").len(), 2);

    cloud.refuses("DescribeStacks", 9, "Throttling");
    let Ran { code, error, .. } = cloud.mayfly(&["follow", "my-job"]).await;
    assert_eq!(
        (code, error.as_str()),
        (1, "mayfly: could not look up the stack `mayfly`: Throttling: in words\n")
    );
}

fn nothing_left() -> Value {
    let all = json!([{ "kind": "Queue", "id": "q" }, { "kind": "Service", "id": "s" }]);
    json!({ "created": all, "deleted": all, "residual": [] })
}

fn success() -> Value {
    json!({
        "job": "my-job", "status": "SUCCEEDED", "of-a-later-version": 1,
        "result": { "exitCode": 0, "attempt": 1, "capacity": "FARGATE_SPOT", "seconds": 4.1, "taskArn": "t",
                    "outputs": [{ "file": "out.mp4", "to": "s3://bucket/out.mp4", "bytes": 1_258_291 }] },
        "receipt": nothing_left()
    })
}

fn failure() -> Value {
    json!({
        "job": "my-job", "status": "FAILED", "error": "CommandFailed",
        "message": "the command `ffmpeg` ended with code 3", "attempt": 1, "exitCode": 3,
        "taskArn": "arn:aws:ecs:eu-west-1:111111111111:task/mayfly/0123", "output": "reported output",
        "receipt": nothing_left()
    })
}
