//! What is said between the worker and those it works for. The simulator's worker, which is played, has to hold the same
//! conversations (tests/stand-ins/src/worker/tests.rs).

use std::fmt::Write as _;

use mayfly_model::message::{
    Assignment, Download, FileSize, News, OUTPUT_LIST, Order, Page, Report, SignedUrls, Upload,
};
use mayfly_model::turn::{Provider, Turn};

/// The job whose worker it is.
pub const JOB: &str = "my-job";
/// What `STORES` writes.
pub const BYTES: u64 = 5;

/// The commands, as the shell has them.
pub const STORES: &str = "printf HELLO >out.txt";
/// The same into a folder.
pub const FILLS: &str = "printf HELLO >out/a.txt";
pub const FAILS: &str = "echo no; exit 4";
pub const LASTS: &str = "exec sleep 1000";

/// A worker in its container, with its two queues.
pub trait Partner {
    /// Puts a message into the mailbox.
    fn mail(&mut self, message: String);
    /// The next report.
    async fn report(&mut self) -> Report;
    /// Sends SIGTERM.
    fn terminate(&self);
    /// Waits for the end; gives the exit code and the news of all reports there were.
    async fn ended(self) -> (Option<i32>, Vec<News>);
    /// A signed URL of the input `in.txt`, which has expired or not.
    fn input(&self, expired: bool) -> String;
    /// Where to post the output `out.txt`.
    fn output(&self) -> Upload;
    /// Where to post the files of the folder `out/`.
    fn output_folder(&self) -> Upload;
    /// Where to post the list of outputs, which has this size.
    fn output_list(&self, bytes: u64) -> Upload;
    /// The objects `names` of the folder `in/`, of `BYTES` bytes each, and whether there are more.
    fn page(&self, after: Option<&str>, names: &[&str], has_more: bool) -> Page;
}

/// A line of a conversation.
pub enum Line {
    /// The worker is given an order.
    Order(Box<Assignment>),
    /// Its mailbox gets this text.
    Mail(&'static str),
    /// A start is given URLs of all files.
    Urls(u32),
    /// It is given these objects of the folder `in/` that come after this name, and told whether there are more.
    Objects(u32, Option<&'static str>, &'static [&'static str], bool),
    /// The worker says this; heartbeats are heard only where they are waited for.
    Says(&'static str),
    /// It is told to stop.
    Terminate,
}

use Line::{Mail, Objects, Order as Give, Says, Terminate, Urls};

/// A start with its own nonce.
fn order(start: u32, command: &str) -> Assignment {
    Assignment {
        job: JOB.to_owned(),
        turn: Turn { start, ..Turn::first(Provider::Spot) },
        nonce: format!("nonce-{start}"),
        command: ["sh", "-c", command].map(str::to_owned).into(),
        inputs: Vec::new(),
        input_folders: Vec::new(),
        outputs: Vec::new(),
        optional_outputs: Vec::new(),
        lists_outputs: false,
        timeout_seconds: 60,
        report_every_seconds: 1,
    }
}

fn give(assignment: Assignment) -> Line {
    Give(Box::new(assignment))
}

/// A start of these files; an input's URL is the partner's to know.
fn with_files(start: u32, inputs: &[(&str, &str)], outputs: &[&str]) -> Line {
    let input = |(file, url): &(&str, &str)| Download { file: (*file).to_owned(), url: (*url).to_owned() };
    let outputs = outputs.iter().map(|file| (*file).to_owned()).collect();
    give(Assignment { inputs: inputs.iter().map(input).collect(), outputs, ..order(start, STORES) })
}

/// Stand for URLs.
const EXPIRED: &str = "expired";
const GOOD: &str = "good";

/// All conversations, by what they are about. Each ends with the worker's end by code 0, and nothing else has been said.
#[allow(clippy::too_many_lines, reason = "it is data")]
pub fn conversations() -> Vec<(&'static str, Vec<Line>)> {
    vec![
        (
            "a job with files",
            vec![
                with_files(1, &[("in.txt", EXPIRED)], &["out.txt"]),
                Says("1 nonce-1 wants in.txt"),
                Urls(1),
                Says("1 nonce-1 wants to store out.txt"),
                Urls(1),
                Says("1 nonce-1 finished with code 0 and out.txt"),
                Terminate,
            ],
        ),
        (
            "a good URL needs no other",
            vec![with_files(1, &[("in.txt", GOOD)], &[]), Says("1 nonce-1 finished with code 0"), Terminate],
        ),
        (
            "a job with folders",
            vec![
                give(Assignment {
                    input_folders: vec!["in/".to_owned()],
                    outputs: vec!["out/".to_owned()],
                    lists_outputs: true,
                    ..order(1, FILLS)
                }),
                Says("1 nonce-1 wants in/"),
                Objects(2, None, &["a"], false),
                Objects(1, None, &["a", "b/c"], true),
                Says("1 nonce-1 wants in/ after b/c"),
                Objects(1, Some("b/c"), &["d"], false),
                Says("1 nonce-1 wants to store out/"),
                Urls(1),
                Says("1 nonce-1 wants to store the list"),
                Urls(1),
                Says("1 nonce-1 finished with code 0 and 1 of out/"),
                Terminate,
            ],
        ),
        (
            "a folder that has nothing in it, or more than a folder can",
            vec![
                give(Assignment { input_folders: vec!["in/".to_owned()], ..order(1, STORES) }),
                Says("1 nonce-1 wants in/"),
                Objects(1, None, &[], false),
                Says("1 nonce-1 finished: InputUnavailable"),
                give(Assignment { input_folders: vec!["in/".to_owned()], ..order(2, STORES) }),
                Says("2 nonce-2 wants in/"),
                Objects(2, None, &["../a"], false),
                Says("2 nonce-2 finished: InputUnavailable"),
                Terminate,
            ],
        ),
        (
            "an output that need not be there",
            vec![
                give(Assignment {
                    outputs: vec!["gone/*.ts".to_owned()],
                    optional_outputs: vec!["gone/*.ts".to_owned()],
                    ..order(1, STORES)
                }),
                Says("1 nonce-1 finished with code 0"),
                give(Assignment { outputs: vec!["gone/*.ts".to_owned()], ..order(2, STORES) }),
                Says("2 nonce-2 finished with code 0: UploadFailed"),
                Terminate,
            ],
        ),
        (
            "URLs of another start are none",
            vec![
                with_files(2, &[], &["out.txt"]),
                Says("2 nonce-2 wants to store out.txt"),
                Urls(1),
                Urls(2),
                Says("2 nonce-2 finished with code 0 and out.txt"),
                Urls(2),
                Terminate,
            ],
        ),
        (
            "a command that fails, and another start",
            vec![
                give(order(1, FAILS)),
                Says("1 nonce-1 finished with code 4: CommandFailed, and what it printed"),
                with_files(2, &[], &[]),
                Says("2 nonce-2 finished with code 0"),
                Terminate,
            ],
        ),
        (
            "a command that takes too long",
            vec![
                give(Assignment { timeout_seconds: 1, ..order(1, LASTS) }),
                Says("1 nonce-1 heartbeat"),
                Says("1 nonce-1 finished: TimedOut, and what it printed"),
                Terminate,
            ],
        ),
        (
            "SIGTERM while the command runs",
            vec![
                give(order(1, LASTS)),
                Says("1 nonce-1 heartbeat"),
                Terminate,
                Says("1 nonce-1 finished: SpotInterrupted, and what it printed"),
            ],
        ),
        (
            "SIGTERM while URLs are waited for",
            vec![
                with_files(1, &[("in.txt", EXPIRED)], &[]),
                Says("1 nonce-1 wants in.txt"),
                Terminate,
                Says("1 nonce-1 finished: SpotInterrupted"),
            ],
        ),
        (
            "a newer start takes over, and nobody hears of the older one",
            vec![
                give(order(1, LASTS)),
                Says("1 nonce-1 heartbeat"),
                give(order(2, FAILS)),
                Says("2 nonce-2 finished with code 4: CommandFailed, and what it printed"),
                Terminate,
            ],
        ),
        (
            "orders come twice, and late",
            vec![
                with_files(2, &[], &[]),
                Says("2 nonce-2 finished with code 0"),
                with_files(2, &[], &[]),
                give(order(1, FAILS)),
                with_files(3, &[], &[]),
                Says("3 nonce-3 finished with code 0"),
                Terminate,
            ],
        ),
        (
            "what is no order of this job's is dropped",
            vec![
                Mail("[[[[["),
                Mail(r#"{"kind":"dance"}"#),
                Mail(r#"{"kind":"run","job":"my-job"}"#),
                give(Assignment { job: "another-job".to_owned(), ..order(7, FAILS) }),
                give(order(0, FAILS)),
                with_files(1, &[], &[]),
                Says("1 nonce-1 finished with code 0"),
                Terminate,
            ],
        ),
        (
            "orders that cannot be carried out",
            vec![
                with_files(1, &[("../in.txt", GOOD)], &[]),
                Says("1 nonce-1 finished: InvalidJob"),
                with_files(2, &[], &["/etc/passwd"]),
                Says("2 nonce-2 finished: InvalidJob"),
                give(Assignment { command: Vec::new(), ..order(3, "") }),
                Says("3 nonce-3 finished: InvalidJob"),
                with_files(4, &[("in.txt", "no URL")], &[]),
                Says("4 nonce-4 finished: InputUnavailable"),
                Terminate,
            ],
        ),
    ]
}

/// Holds one conversation with a worker.
pub async fn hold(about: &str, lines: Vec<Line>, mut worker: impl Partner) {
    let (mut heard, mut list) = (0, 0);
    for line in lines {
        match line {
            Give(mut assignment) => {
                for input in &mut assignment.inputs {
                    match input.url.as_str() {
                        EXPIRED => input.url = worker.input(true),
                        GOOD => input.url = worker.input(false),
                        _ => {}
                    }
                }
                worker.mail(text(&Order::Run(*assignment)));
            }
            Mail(message) => worker.mail(message.to_owned()),
            Urls(start) => {
                let download = Download { file: "in.txt".to_owned(), url: worker.input(false) };
                let uploads = vec![worker.output(), worker.output_folder(), worker.output_list(list)];
                worker.mail(text(&Order::Urls(SignedUrls { start, downloads: vec![download], uploads })));
            }
            Objects(start, after, names, has_more) => {
                let page = Page { start, ..worker.page(after, names, has_more) };
                worker.mail(text(&Order::Page(page)));
            }
            Says(expected) => {
                let waits_for_heartbeat = expected.ends_with("heartbeat");
                let said = loop {
                    let report = worker.report().await;
                    let is_heartbeat = matches!(report.news, News::Heartbeat(_));
                    heard += usize::from(!is_heartbeat);
                    if !is_heartbeat || waits_for_heartbeat {
                        break report;
                    }
                };
                if let News::UrlsWanted { uploads, .. } = &said.news {
                    list = uploads
                        .iter()
                        .find(|upload| upload.file == OUTPUT_LIST)
                        .map_or(list, |list| list.bytes);
                }
                assert_eq!(told(&said), expected, "{about}");
            }
            Terminate => worker.terminate(),
        }
    }
    let (code, news) = worker.ended().await;
    assert_eq!(code, Some(0), "{about}: {news:?}");
    let said = news.iter().filter(|news| !matches!(news, News::Heartbeat(_))).count();
    assert_eq!(said, heard, "{about}: more was said than is to be heard: {news:?}");
}

fn text(order: &Order) -> String {
    serde_json::to_string(order).unwrap()
}

/// A report without what differs from one time to the next.
fn told(report: &Report) -> String {
    assert_eq!((report.job.as_str(), report.task_arn.is_some()), (JOB, true));
    let mut told = format!("{} {} ", report.turn.start, report.nonce);
    let names = |files: &[FileSize]| {
        assert!(files.iter().all(|file| file.bytes == BYTES), "{files:?}");
        let names: Vec<_> = files.iter().map(|file| file.file.as_str()).collect();
        names.join(", ")
    };
    match &report.news {
        News::Heartbeat(_) => told.push_str("heartbeat"),
        News::UrlsWanted { downloads, uploads } if uploads.is_empty() => {
            write!(told, "wants {}", downloads.join(", ")).unwrap();
        }
        News::UrlsWanted { uploads, .. } if uploads[0].file == OUTPUT_LIST => {
            told.push_str("wants to store the list");
        }
        News::PageWanted { folder, after } => {
            write!(told, "wants {folder}").unwrap();
            if let Some(after) = after {
                write!(told, " after {after}").unwrap();
            }
        }
        News::UrlsWanted { uploads, .. } => write!(told, "wants to store {}", names(uploads)).unwrap(),
        News::PartsWanted(wanted) => write!(told, "wants parts of {}", wanted.file).unwrap(),
        News::Finished(finished) => {
            told.push_str("finished");
            if let Some(code) = finished.exit_code {
                write!(told, " with code {code}").unwrap();
            }
            if !finished.outputs.is_empty() {
                write!(told, " and {}", names(&finished.outputs)).unwrap();
            }
            for folder in &finished.folders {
                assert_eq!((folder.bytes, folder.first.len() as u64), (folder.files * BYTES, folder.files));
                write!(told, " and {} of {}", folder.files, folder.file).unwrap();
            }
            if let Some(failure) = &finished.failure {
                write!(told, ": {}", failure.class).unwrap();
                let printed = failure.output.as_ref().map_or("", |_| ", and what it printed");
                told.push_str(printed);
            }
        }
        News::Lost(_) => told.push_str("lost"),
    }
    told
}
