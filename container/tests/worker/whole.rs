//! The real binary, from its first order to its last report.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mayfly_model::class::Class;
use mayfly_model::message::{Assignment, Download, FileSize, News, Order, SignedUrls, Upload};
use mayfly_model::parts::PartsWanted;

use crate::cloud::{Cloud, KEYS, NONCE, TASK_ARN, assignment, is_alive};

#[tokio::test]
async fn a_job_is_downloaded_run_uploaded_and_reported() {
    let mut cloud = Cloud::start().await;
    cloud.queues.state.objects.lock().unwrap().insert("/bucket/in.txt".to_owned(), b"hello".to_vec());
    let input = |signature: &str| Download {
        file: "in/a.txt".to_owned(),
        url: cloud.place(&format!("bucket/in.txt?X-Amz-Signature={signature}")),
    };
    let fresh_input = input("good");
    let job = Assignment {
        inputs: vec![input("expired")],
        outputs: vec!["out.txt".to_owned()],
        ..assignment(1, "tr a-z A-Z <in/a.txt >out.txt; env; ls")
    };
    cloud.order(&Order::Run(job));

    let report = cloud.report(|news| matches!(news, News::UrlsWanted { .. })).await;
    assert_eq!((report.job.as_str(), report.turn.start, report.nonce.as_str()), ("my-job", 1, NONCE));
    assert_eq!(report.task_arn.as_deref(), Some(TASK_ARN));
    let wanted = News::UrlsWanted { downloads: vec!["in/a.txt".to_owned()], uploads: Vec::new() };
    assert_eq!(report.news, wanted);
    let urls = |downloads, uploads| Order::Urls(SignedUrls { start: 1, downloads, uploads });
    cloud.order(&urls(vec![fresh_input], Vec::new()));

    let output = FileSize { file: "out.txt".to_owned(), bytes: 5 };
    let wanted = cloud.report(|news| matches!(news, News::UrlsWanted { .. })).await.news;
    assert_eq!(wanted, News::UrlsWanted { downloads: Vec::new(), uploads: vec![output.clone()] });
    let upload = Upload {
        file: "out.txt".to_owned(),
        url: cloud.place("bucket"),
        fields: [("key".to_owned(), "out.txt".to_owned())].into(),
    };
    cloud.order(&urls(Vec::new(), vec![upload]));

    let (_, finished) = cloud.finished().await;
    assert_eq!((finished.exit_code, finished.failure, finished.outputs), (Some(0), None, vec![output]));
    let form = cloud.queues.state.objects.lock().unwrap().remove("/bucket").unwrap();
    assert!(String::from_utf8(form).unwrap().contains("HELLO"));
    // The first sign of life and the question are under way at the same time.
    let is_heartbeat = |news: &String| matches!(serde_json::from_str(news), Ok(News::Heartbeat(_)));
    assert!(cloud.queues.state.news.lock().unwrap().iter().any(is_heartbeat));

    cloud.is_cleaned_up().await;
    cloud.terminate();
    let (status, log) = cloud.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("\nGREETING=hello\n"), "{log}");
    let log = log.replace("MAYFLY_FILES=", "");
    for secret in ["AWS_", "ECS_", "MAYFLY_", "X-Amz-Signature", NONCE].iter().chain(&KEYS) {
        assert!(!log.contains(*secret), "{secret} is in {log}");
    }
    let events: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(events.len() > 3 && events.iter().all(|line| line.contains("\"job\":\"my-job\"")), "{log}");
}

#[tokio::test]
async fn a_tree_of_any_depth_is_removed_after_the_report_and_the_worker_lives_on() {
    let mut cloud = Cloud::start().await;
    let script = "import os\nfor i in range(5000): os.mkdir('d'); os.chdir('d')";
    let command = ["python3", "-c", script].map(str::to_owned).into();
    cloud.order(&Order::Run(Assignment { command, ..assignment(1, "") }));
    let (_, finished) = cloud.finished().await;
    assert_eq!((finished.failure, finished.exit_code), (None, Some(0)));
    cloud.order(&Order::Run(assignment(2, "exit 0")));
    assert_eq!(cloud.finished().await.0, 2);
    cloud.is_cleaned_up().await;
    cloud.terminate();
    assert_eq!(cloud.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_log_that_stands_still_keeps_nothing_back() {
    let mut cloud = Cloud::start().await;
    // Nobody reads the log before the worker's end, so the command is held up when its time is over.
    cloud.order(&Order::Run(Assignment {
        timeout_seconds: 3,
        ..assignment(1, "yes | head -c 3000000; sleep 1000")
    }));
    cloud.report(|news| matches!(news, News::Heartbeat(progress) if progress.line.is_some())).await;
    let (_, finished) = cloud.finished().await;
    assert_eq!((finished.failure.unwrap().class, finished.log_truncated), (Class::TimedOut, true));
    let outputs = vec!["out".to_owned()];
    cloud.order(&Order::Run(Assignment { outputs, ..assignment(2, "echo ok > out") }));
    cloud.sign_upload(2, "out", "bucket", &[]).await;
    let (_, finished) = cloud.finished().await;
    assert_eq!((finished.failure, finished.outputs.len(), finished.log_truncated), (None, 1, true));
    cloud.terminate();
    // What came in time is there after all.
    let (status, log) = cloud.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(log.matches("y\n").count() > 500_000 && log.contains("worker stopped"), "{} bytes", log.len());
}

/// Starts a daemon as daemons do: two forks, a session of its own, and no terminal. It goes on making files.
const DAEMON: &str = "
import os, sys, time
if os.fork(): os.wait(); sys.exit()
os.setsid()
if os.fork(): os._exit(0)
null = os.open('/dev/null', os.O_RDWR)
for number in (0, 1, 2): os.dup2(null, number)
with open('daemon', 'w') as file: file.write(str(os.getpid()))
os.rename('daemon', 'out')
count = 0
while True:
    count += 1
    with open(f'made-{count}', 'w'): pass
    time.sleep(0.001)
";

#[tokio::test]
async fn a_daemon_ends_with_the_command_and_before_the_upload() {
    let mut cloud = Cloud::start().await;
    // A double fork leaves no parent to wait for, so the command waits for the daemon's own word.
    let script = format!("python3 -c \"{DAEMON}\"; until [ -e out ]; do sleep 0.01; done");
    cloud.order(&Order::Run(Assignment { outputs: vec!["out".to_owned()], ..assignment(1, &script) }));
    cloud.report(|news| matches!(news, News::UrlsWanted { .. })).await;
    let pid = fs::read_to_string(cloud.work().join("out")).unwrap();
    assert!(!is_alive(&pid), "the daemon {pid} is alive when the upload begins");
    let upload = Upload { file: "out".to_owned(), url: cloud.place("bucket"), fields: [].into() };
    cloud.order(&Order::Urls(SignedUrls { start: 1, downloads: Vec::new(), uploads: vec![upload] }));
    assert_eq!(cloud.finished().await.1.failure, None);
    cloud.is_cleaned_up().await;
}

#[tokio::test]
async fn what_a_stopped_command_leaves_behind_ends_with_the_assignment() {
    let mut cloud = Cloud::start().await;
    let script = format!(
        "python3 -c \"{DAEMON}\"; until [ -e out ]; do sleep 0.01; done; cat out; echo; exec sleep 1000"
    );
    cloud.order(&Order::Run(assignment(1, &script)));
    let has_said = |news: &News| matches!(news, News::Heartbeat(progress) if progress.line.is_some());
    let News::Heartbeat(progress) = cloud.report(has_said).await.news else { unreachable!() };
    let pid = progress.line.unwrap();
    assert!(is_alive(&pid));
    cloud.terminate();
    assert_eq!(cloud.finished().await.1.failure.unwrap().class, Class::SpotInterrupted);
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn orphans_that_die_while_the_command_runs_are_buried() {
    let mut cloud = Cloud::start().await;
    // Each of them is an orphan when it dies: the shell between does not wait.
    let script = "for i in 1 2 3 4 5; do sh -c 'sleep 0.01 & exit'; done
        children() { grep -l \"^PPid:[[:space:]]*$PPID$\" /proc/[0-9]*/status 2>/dev/null; }
        until [ \"$(children)\" = /proc/$$/status ]; do sleep 0.01; done";
    cloud.order(&Order::Run(assignment(1, script)));
    assert_eq!(cloud.finished().await.1.failure, None);
}

#[tokio::test]
async fn a_line_that_is_written_over_is_one_line_in_the_log_and_hides_no_other() {
    let mut cloud = Cloud::start().await;
    let script = r#"echo "ERROR: row 17 of input.csv is malformed" >&2
        i=0; while [ $i -lt 100 ]; do printf "\rprogress %d %%" $i; i=$((i+1)); done; exit 5"#;
    cloud.order(&Order::Run(assignment(1, script)));
    let failure = cloud.finished().await.1.failure.unwrap();
    let end = "ERROR: row 17 of input.csv is malformed\nprogress 99 %\n";
    assert_eq!(failure.output.as_deref(), Some(end));
    cloud.terminate();
    let (_, log) = cloud.ended().await;
    assert!(log.contains(end), "{log}");
    assert_eq!(log.matches("progress ").count(), 1, "{log}");
}

#[tokio::test]
async fn a_newer_start_takes_over() {
    let mut cloud = Cloud::start().await;
    cloud.order(&Order::Run(assignment(1, "exec sleep 1000")));
    cloud.report(|news| matches!(news, News::Heartbeat(_))).await;
    cloud.order(&Order::Run(assignment(2, "exit 4")));
    let (start, finished) = cloud.finished().await;
    assert_eq!((start, finished.exit_code), (2, Some(4)));
    assert_eq!(finished.failure.unwrap().class, Class::CommandFailed);
}

#[tokio::test]
async fn of_orders_that_wait_together_only_the_latest_is_carried_out() {
    let mut cloud = Cloud::start().await;
    cloud.order(&Order::Run(assignment(1, "exit 4")));
    cloud.order(&Order::Run(assignment(2, "exit 0")));
    let (start, finished) = cloud.finished().await;
    assert_eq!((start, finished.exit_code), (2, Some(0)));
    cloud.terminate();
    let (_, log) = cloud.ended().await;
    assert_eq!(log.matches("assignment taken on").count(), 1, "{log}");
}

#[tokio::test]
async fn an_order_is_carried_out_once_and_the_worker_stays_for_the_next() {
    let mut cloud = Cloud::start().await;
    cloud.order(&Order::Run(assignment(1, "exit 0")));
    cloud.order(&Order::Run(assignment(1, "exit 0")));
    cloud.mail("no order at all".to_owned());
    assert_eq!(cloud.finished().await.0, 1);
    cloud.order(&Order::Run(assignment(2, "exit 0")));
    assert_eq!(cloud.finished().await.0, 2);
}

#[tokio::test]
async fn a_result_is_reported_until_sqs_takes_it() {
    let mut cloud = Cloud::start().await;
    *cloud.queues.state.refuse_results.lock().unwrap() = 4;
    cloud.order(&Order::Run(assignment(1, "printf '\\357\\277\\277'; exit 1")));
    let (_, finished) = cloud.finished().await;
    assert_eq!(finished.failure.unwrap().output.as_deref(), Some("\u{ffff}\n"));
}

#[tokio::test]
async fn a_missing_output_is_named_with_what_is_there() {
    let mut cloud = Cloud::start().await;
    let job = Assignment { outputs: vec!["out.mp4".to_owned()], ..assignment(1, "touch out.mp3") };
    cloud.order(&Order::Run(job));
    let (_, finished) = cloud.finished().await;
    assert_eq!(finished.exit_code, Some(0));
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, Class::UploadFailed);
    assert!(failure.message.contains("out.mp4"), "{}", failure.message);
    assert!(failure.message.ends_with("the working folder holds out.mp3"), "{}", failure.message);
}

#[tokio::test]
async fn a_link_that_is_no_output_is_told_with_where_it_leads() {
    let mut cloud = Cloud::start().await;
    let cases = [
        ("ln -s /etc/passwd out", "out is a link to /etc/passwd, which is outside the working folder"),
        ("ln -s deep/gone out", "out is a link to deep/gone, where nothing is"),
    ];
    for (start, (script, expected)) in (1..).zip(cases) {
        cloud.order(&Order::Run(Assignment { outputs: vec!["out".to_owned()], ..assignment(start, script) }));
        let failure = cloud.finished().await.1.failure.unwrap();
        let expected = format!(
            "the command succeeded, but its output out is not usable: {expected}; the working folder holds out"
        );
        assert_eq!((failure.class, failure.message), (Class::UploadFailed, expected));
    }
}

#[tokio::test]
async fn an_output_that_is_too_large_for_one_request_is_asked_for_in_parts() {
    let mut cloud = Cloud::start().await;
    let job = Assignment { outputs: vec!["big".to_owned()], ..assignment(1, "truncate -s 5368709121 big") };
    cloud.order(&Order::Run(job));
    cloud.sign_upload(1, "big", "bucket", &[("key", "big")]).await;
    let News::PartsWanted(wanted) = cloud.report(|news| matches!(news, News::PartsWanted(_))).await.news
    else {
        unreachable!()
    };
    assert_eq!(wanted, PartsWanted { file: "big".to_owned(), output: None, bytes: 5_368_709_121, from: 1 });
}

#[tokio::test]
async fn so_is_a_file_of_a_folder_by_the_name_of_the_folder_too() {
    let mut cloud = Cloud::start().await;
    let outputs = vec!["hls/".to_owned()];
    let job = Assignment { outputs, ..assignment(1, "truncate -s 5368709121 hls/big") };
    cloud.order(&Order::Run(job));
    cloud.sign_upload(1, "hls/", "bucket", &[("key", "show/")]).await;
    let News::PartsWanted(wanted) = cloud.report(|news| matches!(news, News::PartsWanted(_))).await.news
    else {
        unreachable!()
    };
    let (file, output) = ("hls/big".to_owned(), Some("hls/".to_owned()));
    assert_eq!(wanted, PartsWanted { file, output, bytes: 5_368_709_121, from: 1 });
}

#[tokio::test]
async fn a_missing_input_is_named_without_its_signature() {
    let mut cloud = Cloud::start().await;
    let url = cloud.place("bucket/missing.mp4?X-Amz-Signature=good");
    let input = Download { file: "in.mp4".to_owned(), url };
    cloud.order(&Order::Run(Assignment { inputs: vec![input], ..assignment(1, "exit 0") }));
    let (_, finished) = cloud.finished().await;
    assert_eq!(finished.exit_code, None);
    let failure = finished.failure.unwrap();
    assert_eq!(failure.class, Class::InputUnavailable);
    let place = cloud.place("bucket/missing.mp4");
    let expected = format!(
        "the input in.mp4 could not be downloaded from {place}: HTTP 404 Not Found (NoSuchKey: In words.)"
    );
    assert_eq!(failure.message, expected);
}

#[tokio::test]
async fn a_message_that_is_no_order_is_dropped_and_does_not_hold_up_the_next() {
    const SECRET: &str = "X-Amz-Signature=c0ffee";
    let mut cloud = Cloud::start().await;
    let absurd = |job: &str, start| {
        let order = Order::Run(Assignment { job: job.to_owned(), ..assignment(start, SECRET) });
        serde_json::to_string(&order).unwrap()
    };
    let poison = [
        SECRET.to_owned(),
        format!("{{\"kind\":\"dance\",\"url\":\"{SECRET}\"}}"),
        format!("{{\"kind\":\"run\",\"job\":\"{SECRET}\"}}"),
        "[".repeat(10_000),
        "\u{1F99F}".repeat(65_536),
        absurd("another-job", 1),
        absurd("my-job", 0),
        absurd("my-job", 2).replace(":60,", ":-60,"),
    ];
    let count = poison.len();
    for message in poison {
        cloud.mail(message);
    }
    cloud.order(&Order::Run(Assignment {
        timeout_seconds: u64::MAX,
        report_every_seconds: u64::MAX,
        ..assignment(1, "exit 4")
    }));
    let (start, finished) = cloud.finished().await;
    assert_eq!((start, finished.exit_code), (1, Some(4)));
    assert_eq!(cloud.queues.state.deleted(), count + 1);
    cloud.terminate();
    let (_, log) = cloud.ended().await;
    assert_eq!(log.matches("dropped").count(), count - 1, "{log}");
    for part in [SECRET, "another-job", "\u{1F99F}", "[[["] {
        assert!(!log.contains(part), "{log}");
    }
}

#[tokio::test]
async fn a_file_name_that_leads_out_of_the_folder_is_refused() {
    let mut cloud = Cloud::start().await;
    for (start, name) in (1..).zip(["../kept", "/etc/passwd", "a/../../../kept", ""]) {
        let url = cloud.place("bucket/in.txt?X-Amz-Signature=good");
        let input = Download { file: name.to_owned(), url };
        let job = match start % 2 {
            0 => Assignment { inputs: vec![input], ..assignment(start, "exit 0") },
            _ => Assignment { outputs: vec![name.to_owned()], ..assignment(start, "exit 0") },
        };
        cloud.order(&Order::Run(job));
        let failure = cloud.finished().await.1.failure.unwrap();
        assert_eq!(failure.class, Class::InvalidJob);
        let shown = if name.is_empty() { "an empty text" } else { name };
        assert_eq!(failure.message, format!("the file name {shown:?} leads out of the working folder"));
    }
}

#[tokio::test]
async fn a_command_that_the_kernel_killed_is_out_of_memory() {
    let mut cloud = Cloud::start().await;
    let counter = cloud.cgroup.path().join("memory.events");
    fs::write(&counter, "oom_kill 0\n").unwrap();
    // The command plays the kernel.
    fs::set_permissions(&counter, fs::Permissions::from_mode(0o666)).unwrap();
    let script = format!("echo oom_kill 1 >{}; kill -KILL $$", counter.display());
    cloud.order(&Order::Run(assignment(1, &script)));
    assert_eq!(cloud.finished().await.1.failure.unwrap().class, Class::OutOfMemory);
}
