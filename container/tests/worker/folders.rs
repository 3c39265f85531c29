//! Inputs and outputs that are folders, against an S3 whose signatures expire and that refuses what it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use mayfly_model::class::Class;
use mayfly_model::message::{
    Assignment, FileSize, Finished, Listed, News, OUTPUT_LIST, Object, Order, Page, SignedUrls, Upload,
};
use mayfly_worker::assignment;
use mayfly_worker::stop::StopRequest;
use mayfly_worker::urls::Pace;
use tokio::sync::mpsc;
use tokio::time::sleep;
use url::Url;

use crate::assignment::tools;
use crate::cloud::{Queues, assignment};
use crate::server::{header, quick, s3_error, serve};
use crate::urls::reporter;

/// How many objects of a folder one answer tells.
const PAGE: usize = 40;

/// An S3 with one bucket, and those who sign for it: a signature is a number, and good for so many requests.
#[derive(Default)]
struct State {
    /// What is in the bucket, by key, each with its media type.
    objects: BTreeMap<String, (String, String)>,
    /// How often a signature is good; always where that is 0.
    lifetime: u32,
    used: BTreeMap<String, u32>,
    /// Keys that may not be written.
    refused: BTreeSet<String>,
    /// How many requests are answered at the moment, and how many were at most.
    at_a_time: (u32, u32),
    /// What has been asked of those who sign.
    questions: Vec<News>,
    /// What becomes of the bucket when the folder was listed.
    then: Option<fn(&mut State)>,
}

impl State {
    fn takes(&mut self, signature: &str) -> bool {
        let used = self.used.entry(signature.to_owned()).or_default();
        *used += 1;
        self.lifetime == 0 || *used <= self.lifetime
    }

    fn tag(content: &str) -> String {
        format!("\"{}\"", content.replace(|c: char| c.is_control() || c == '"', "-"))
    }
}

type Shared = Arc<Mutex<State>>;

async fn s3(request: Request, state: Shared) -> Response {
    {
        let (now, most) = &mut state.lock().unwrap().at_a_time;
        *now += 1;
        *most = (*most).max(*now);
    }
    let answer = if request.method() == "GET" { get(&request, &state) } else { post(request, &state).await };
    sleep(Duration::from_millis(2)).await;
    state.lock().unwrap().at_a_time.0 -= 1;
    answer
}

fn get(request: &Request, state: &Shared) -> Response {
    let mut state = state.lock().unwrap();
    let signature = request.uri().query().unwrap().rsplit('=').next().unwrap().to_owned();
    if !state.takes(&signature) {
        return s3_error(403, "AccessDenied");
    }
    let key = request.uri().path().trim_start_matches("/in/").replace("%20", " ");
    let Some((content, _)) = state.objects.get(&key) else { return s3_error(404, "NoSuchKey") };
    if header(request, "if-match") != Some(&State::tag(content)) {
        return s3_error(412, "PreconditionFailed");
    }
    let answer = Response::builder().header("etag", State::tag(content));
    answer.body(Body::from(content.clone())).unwrap()
}

async fn post(request: Request, state: &Shared) -> Response {
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let field = |name: &str| {
        let (_, rest) = body.split_once(&format!("name=\"{name}\""))?;
        let (_, value) = rest.split_once("\r\n\r\n")?;
        Some(value.split("\r\n--").next()?.to_owned())
    };
    let (key, kind) = (field("key").unwrap(), field("Content-Type").unwrap_or_default());
    let mut state = state.lock().unwrap();
    if !state.takes(&field("signature").unwrap()) {
        return s3_error(403, "AccessDenied");
    }
    if state.refused.contains(&key) {
        return s3_error(400, "EntityTooLarge");
    }
    let content = field("file").unwrap();
    let tag = State::tag(&content);
    state.objects.insert(key, (content, kind));
    Response::builder().status(204).header("etag", tag).body(Body::empty()).unwrap()
}

/// Carries out an assignment; its folder of input is what the bucket has.
async fn run(job: Assignment, state: State) -> (Finished, State) {
    let state = Arc::new(Mutex::new(state));
    let shared = state.clone();
    let place = serve(move |request| s3(request, shared.clone())).await;
    let mut queues = Queues::start().await;
    let pace = Pace { ask_again: Duration::from_mins(1), give_up: Duration::from_mins(1), backoff: quick() };
    let tools = tools(&place, pace);
    let (sender, answers) = mpsc::unbounded_channel();
    let stop = StopRequest::default();
    let work = Box::pin(assignment::carry_out(tools, job, reporter(&queues), answers, stop.signal()));
    let signer = async {
        loop {
            let question = queues.report(|news| !matches!(news, News::Heartbeat(_))).await.news;
            let mut state = state.lock().unwrap();
            state.questions.push(question.clone());
            let signature = state.questions.len();
            sender.send(answer(question, signature, &place, &mut state)).unwrap();
        }
    };
    let (finished, _) = tokio::select! {
        ended = work => ended,
        () = signer => unreachable!(),
    };
    (finished, std::mem::take(&mut *state.lock().unwrap()))
}

fn answer(question: News, signature: usize, place: &Url, state: &mut State) -> Order {
    match question {
        News::UrlsWanted { uploads, .. } => {
            let upload = |FileSize { file, .. }: FileSize| {
                let key =
                    if file == OUTPUT_LIST { "list".to_owned() } else { format!("show/{}", prefix(&file)) };
                let fields = [("key", key), ("signature", signature.to_string())];
                let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
                Upload { file, url: place.to_string(), fields }
            };
            let uploads = uploads.into_iter().map(upload).collect();
            Order::Urls(SignedUrls { start: 1, downloads: Vec::new(), uploads })
        }
        News::PageWanted { folder, after } => {
            let names = state.objects.keys().filter(|name| after.as_ref().is_none_or(|after| *name > after));
            let mut names = names.cloned().collect::<Vec<_>>();
            let has_more = names.len() > PAGE;
            names.truncate(PAGE);
            let object = |name: String| {
                let content = &state.objects[&name].0;
                let (bytes, tag) = (content.len() as u64, State::tag(content));
                Object { name, bytes, tag, signature: signature.to_string() }
            };
            let objects = names.into_iter().map(object).collect();
            if let Some(then) = state.then.take_if(|_| !has_more) {
                then(state);
            }
            Order::Page(Page { start: 1, folder, after, url: format!("{place}in/?a=1"), objects, has_more })
        }
        other => panic!("no question: {other:?}"),
    }
}

/// Patterns of one folder go to one place.
fn prefix(file: &str) -> &str {
    if file.contains('*') || file.ends_with('/') { "" } else { file }
}

fn with_outputs(outputs: &[&str], script: &str) -> Assignment {
    let outputs = outputs.iter().map(|output| (*output).to_owned()).collect();
    Assignment { outputs, lists_outputs: true, ..assignment(1, script) }
}

fn with_input(script: &str) -> Assignment {
    Assignment { input_folders: vec!["in/".to_owned()], ..assignment(1, script) }
}

fn objects(count: usize) -> BTreeMap<String, (String, String)> {
    (0..count).map(|n| (format!("a b/{n:03}"), (format!("content {n}"), String::new()))).collect()
}

fn list(state: &State) -> Vec<Listed> {
    let (list, _) = &state.objects["list"];
    list.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const MANY: &str =
    "mkdir -p out/deep && for n in $(seq 100); do printf $n >out/deep/$n.ts; done && printf x >out/y.zz";

#[tokio::test]
async fn all_files_of_a_folder_are_uploaded_by_one_form_several_at_a_time() {
    let (finished, state) = run(with_outputs(&["out/"], MANY), State::default()).await;
    assert_eq!(finished.failure, None);
    let [folder] = finished.folders.as_slice() else { panic!("{finished:?}") };
    assert_eq!(
        (folder.file.as_str(), folder.files, folder.bytes, folder.first.len()),
        ("out/", 101, 193, 100)
    );
    assert_eq!(state.objects.len(), 102);
    assert_eq!(state.objects["show/deep/7.ts"], ("7".to_owned(), "video/mp2t".to_owned()));
    assert_eq!(state.objects["show/y.zz"].1, "binary/octet-stream");
    // One question for the folder, and one for the list.
    assert_eq!(state.questions.len(), 2, "{:?}", state.questions);
    assert!(state.at_a_time.1 > 4, "{} at a time", state.at_a_time.1);
    let list = list(&state);
    let listed: BTreeSet<_> = list.iter().map(|listed| (listed.file.as_str(), listed.key.as_str())).collect();
    assert!(listed.contains(&("out/deep/7.ts", "show/deep/7.ts")) && listed.len() == 101);
    assert!(list.iter().any(|listed| listed.etag.as_deref() == Some("7") && listed.bytes == 1));
}

#[tokio::test]
async fn a_form_that_expires_is_followed_by_another() {
    let state = State { lifetime: 30, ..State::default() };
    let (finished, state) = run(with_outputs(&["out/"], MANY), state).await;
    assert_eq!((finished.failure, finished.folders[0].files), (None, 101));
    // However many files were refused at a time, one question was asked for them.
    assert!((4..=6).contains(&state.questions.len()), "{}", state.questions.len());
}

#[tokio::test]
async fn a_folder_that_is_uploaded_in_part_is_told_as_it_is() {
    let refused = BTreeSet::from(["show/deep/50.ts".to_owned()]);
    let (finished, state) = run(with_outputs(&["out/"], MANY), State { refused, ..State::default() }).await;
    let failure = finished.failure.unwrap();
    let there = state.objects.keys().filter(|key| key.starts_with("show/")).count();
    assert_eq!(failure.class, Class::UploadFailed);
    assert_eq!(
        failure.message,
        format!(
            "the output out/ could not be uploaded: out/deep/50.ts: HTTP 400 Bad Request (EntityTooLarge: In words.); \
             {there} of its 101 files are in their places"
        )
    );
    assert!((1..101).contains(&there), "no other was begun: {there}");
    assert_eq!((finished.folders[0].files, list(&state).len()), (there as u64, there));
}

#[tokio::test]
async fn of_patterns_with_one_place_the_first_that_names_a_file_takes_it() {
    let script = "touch out/a.m3u8 out/b.ts; mkdir out/x; touch out/x/c.m3u8 out/x/d.ts";
    let job = with_outputs(&["out/**/*.m3u8", "out/*.ts", "out/"], script);
    let (finished, state) = run(job, State::default()).await;
    assert_eq!(finished.failure, None);
    let counts: Vec<_> = finished.folders.iter().map(|folder| (folder.file.as_str(), folder.files)).collect();
    assert_eq!(counts, [("out/**/*.m3u8", 2), ("out/*.ts", 1), ("out/", 1)]);
    assert_eq!(list(&state).len(), 4);
}

#[tokio::test]
async fn what_is_missing_fails_the_job_unless_it_is_optional() {
    let outputs = ["gone.txt", "out/", "*.log"];
    for optional in 0..=outputs.len() {
        let optional_outputs = outputs[..optional].iter().map(|output| (*output).to_owned()).collect();
        let job = Assignment { optional_outputs, ..with_outputs(&outputs, "true") };
        let (finished, state) = run(job, State::default()).await;
        match finished.failure {
            None => {
                assert_eq!((optional, finished.folders.len(), finished.outputs.len()), (outputs.len(), 0, 0));
                // The list is there all the same.
                assert_eq!(list(&state), []);
            }
            Some(failure) => {
                let words = format!("its output {} is not usable: ", outputs[optional]);
                assert!(failure.message.contains(&words), "{}", failure.message);
                assert!(state.objects.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_folder_is_filled_page_by_page_while_signatures_expire() {
    let script = "[ $(ls 'in/a b' | wc -l) = 100 ] && [ \"$(cat 'in/a b/042')\" = 'content 42' ]";
    let state = State { objects: objects(100), lifetime: 25, ..State::default() };
    let (finished, state) = run(with_input(script), state).await;
    assert_eq!(finished.failure, None);
    let pages = state.questions.len();
    assert!((4..=12).contains(&pages), "{pages} questions");
    assert!(state.at_a_time.1 > 4, "{} at a time", state.at_a_time.1);
}

/// What happens to the bucket.
type Change = fn(&mut State);

#[tokio::test]
async fn an_object_that_changes_or_goes_after_it_was_listed_is_told() {
    let changes = |state: &mut State| state.objects.get_mut("a b/050").unwrap().0.push('!');
    let goes = |state: &mut State| drop(state.objects.remove("a b/050"));
    let cases: [(Change, &str); 2] = [
        (changes, "it has changed since it was listed"),
        (goes, "HTTP 404 Not Found (NoSuchKey: In words.)"),
    ];
    for (then, words) in cases {
        let state = State { objects: objects(60), then: Some(then), ..State::default() };
        let failure = run(with_input("true"), state).await.0.failure.unwrap();
        assert_eq!(failure.class, Class::InputUnavailable);
        assert_eq!(failure.message, format!("the input in/ could not be downloaded: a b/050: {words}"));
    }
}

#[tokio::test]
async fn nothing_is_brought_of_a_folder_with_a_hostile_key() {
    for key in ["../x", "a//b", "a/.."] {
        let mut objects = objects(60);
        objects.insert(key.to_owned(), ("x".to_owned(), String::new()));
        let (finished, state) = run(with_input("true"), State { objects, ..State::default() }).await;
        let failure = finished.failure.unwrap();
        assert_eq!(failure.class, Class::InputUnavailable);
        assert!(failure.message.contains("cannot be a file's in a folder"), "{}", failure.message);
        assert_eq!(state.at_a_time.1, 0, "the first byte");
    }
    let failure = run(with_input("true"), State::default()).await.0.failure.unwrap();
    assert_eq!(failure.message, "the input in/ could not be downloaded: nothing is below its prefix");
}
