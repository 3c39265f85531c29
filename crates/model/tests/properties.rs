//! Whatever strangers send, nothing panics: it is what it says and stays so when it is written, or it is refused in words
//! that are fit to be shown. Every run tries the same cases.

use std::fs;
use std::iter::once;
use std::path::Path;
use std::sync::LazyLock;

use jiff::Timestamp;
use mayfly_model::balancing::MadeTargetGroup;
use mayfly_model::job::{JobDocument, Limits, read};
use mayfly_model::message::{Order, Report};
use mayfly_model::names::{self, Names};
use mayfly_model::outcome::{Outcome, message_of};
use mayfly_model::record::Stored;
use mayfly_model::service::{Containers, Entrance};
use mayfly_model::shown::{SHOWN_LIMIT, shown};
use mayfly_model::tags::{self, Claim};
use mayfly_model::visible::{settled, visible, visible_json};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The longest refusal, in characters: it repeats at most a field, a value and a list of the stack's, each of them
/// [`SHOWN_LIMIT`] characters long, and has some words of its own.
const REFUSAL_LIMIT: usize = 4 * SHOWN_LIMIT;

/// What a faulty part of a sample is put in place of, as it stands in the text.
const GAP: &str = "a gap";

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    }
}

/// The jobs of `events/`, with ids in the places of the stack's own.
static JOBS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let files =
        fs::read_dir(folder).expect("a folder of samples").map(|entry| entry.expect("a sample").path());
    let is_job = |name: &str| name.starts_with("run-job") && !name.ends_with(".faults.json");
    let mut jobs: Vec<_> =
        files.filter(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(is_job)).collect();
    jobs.sort();
    let ids = [
        ("${SUBNET}", "subnet-0a1b2c3d"),
        ("${SECURITY_GROUP}", "sg-0a1b2c3d"),
        ("${SECRET_ARN}", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:sample-AbCdEf"),
        ("${PARAMETER_ARN}", "arn:aws:ssm:eu-central-1:123456789012:parameter/sample"),
    ];
    let job = |file| {
        let text = fs::read_to_string(file).expect("a sample");
        let text = ids.iter().fold(text, |text, (name, id)| text.replace(name, id));
        serde_json::from_str(&text).expect("a sample is JSON")
    };
    jobs.iter().map(job).collect()
});

fn turn() -> Value {
    json!({
        "attempt": 1, "start": 2, "launch": 1, "provider": "FARGATE_SPOT", "losses": 1, "failedStarts": 0,
        "queueSeconds": 0
    })
}

fn finished() -> Value {
    let failure = json!({ "class": "CommandFailed", "message": "x", "output": "y" });
    json!({ "seconds": 1.5, "exitCode": 1, "outputs": [{ "file": "a", "bytes": 1 }], "failure": failure })
}

fn reports() -> Vec<Value> {
    let mut finished = finished();
    finished["kind"] = json!("finished");
    let news = [
        json!({ "kind": "heartbeat", "phase": "running", "percent": 42.0, "line": "frame=125" }),
        json!({ "kind": "urlsWanted", "downloads": ["a"], "uploads": [{ "file": "b", "bytes": 5 }] }),
        json!({ "kind": "lost", "class": "SpotInterrupted", "message": "x", "givenUp": true }),
        finished,
    ];
    let report = |news| json!({ "job": "a", "turn": turn(), "nonce": "0", "taskArn": "arn", "news": news });
    news.into_iter().map(report).collect()
}

fn orders() -> Vec<Value> {
    let file = json!({ "file": "a", "url": "https://example.com/a" });
    let mut upload = file.clone();
    upload["fields"] = json!({ "key": "a", "policy": "b" });
    vec![
        json!({
            "kind": "run", "job": "a", "turn": turn(), "nonce": "0", "command": ["true"], "inputs": [file],
            "outputs": ["b"], "timeoutSeconds": 60, "reportEverySeconds": 10
        }),
        json!({ "kind": "urls", "start": 1, "downloads": [file], "uploads": [upload] }),
    ]
}

fn outcomes() -> Vec<Value> {
    let receipt = json!({ "created": [], "deleted": [], "residual": [] });
    let work = json!({
        "exitCode": 0, "attempt": 1, "capacity": "FARGATE", "seconds": 0.5, "taskArn": "arn",
        "outputs": [{ "file": "a", "to": "s3://mayfly-data/a", "bytes": 1 }]
    });
    let service = json!({
        "begun": "2026-11-01T00:00:00Z", "end": "2026-11-01T01:00:00Z", "seconds": 3600.0, "containers": 1,
        "capacity": "FARGATE_SPOT", "addresses": [{ "taskArn": "arn", "privateIp": "10.0.0.1" }],
        "url": "http://10.0.0.1", "reason": "x"
    });
    vec![
        json!({ "job": "a", "status": "SUCCEEDED", "result": work, "receipt": receipt }),
        json!({ "job": "a", "status": "SUCCEEDED", "result": service, "receipt": receipt }),
        json!({ "job": "a", "status": "FAILED", "error": "Internal", "message": "x", "receipt": receipt }),
    ]
}

/// The places of all values in `value`, as JSON pointers, its own aside.
fn places(value: &Value, place: &str) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    let all = inner.into_iter().flat_map(|(key, value)| {
        let place = format!("{place}/{key}");
        let below = places(value, &place);
        once(place).chain(below)
    });
    all.collect()
}

/// What others may write: letters, escapes, what turns the direction of writing, and what breaks rules of JSON and of names.
fn strange() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "\0",
        "\u{1b}[2J",
        "\u{1b}]0;x",
        "\u{202e}",
        "\u{feff}",
        "\u{9b}",
        "\u{ffff}",
        "\r\n",
        "\t",
        "%3F",
        "?",
        "=",
        "://",
        "..",
        "/",
        "@",
        "*",
        "\"",
        "\\",
        "é",
        "\u{1f99f}",
        "e\u{301}",
        ", expected ",
        " at line ",
        "`",
        "sig=",
        "s3://mayfly-data/",
        "https://",
        "a",
        "0",
    ]);
    prop_oneof![
        4 => prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat()),
        2 => any::<String>(),
        1 => (any::<char>(), 1..3000_usize).prop_map(|(c, n)| c.to_string().repeat(n)),
    ]
}

/// Any JSON, not deep.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Halves are the same however they are written.
        any::<i32>().prop_map(|n| json!(f64::from(n) / 2.0)),
        strange().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(strange(), inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

/// What is put into a sample's text in the place of a value: JSON as a rule.
fn raw() -> impl Strategy<Value = String> {
    let odd = [
        "",
        "-",
        "-0",
        "1e400",
        "1.0",
        "4294967296",
        "NaN",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "{}",
        "[]",
        "[[]]",
        "}",
    ];
    prop_oneof![
        6 => strange().prop_map(|text| json!(text).to_string()),
        4 => (0..100_000_u32).prop_map(|number| number.to_string()),
        4 => values().prop_map(|value| value.to_string()),
        2 => select(odd.to_vec()).prop_map(str::to_owned),
        1 => (1..300_usize).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
        1 => (1..300_usize).prop_map(|depth| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)),
    ]
}

/// What happens to one value of a sample.
#[derive(Clone, Debug)]
enum Fault {
    Replaced(String),
    Doubled(String),
    Renamed(String),
    Dropped,
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => raw().prop_map(Fault::Replaced),
        1 => raw().prop_map(Fault::Doubled),
        2 => strange().prop_map(Fault::Renamed),
        1 => Just(Fault::Dropped),
    ]
}

/// The text of one of the samples, in which one or two values have a fault, or of which the end is missing.
fn near(samples: Vec<Value>) -> impl Strategy<Value = String> {
    let faulty = (select(samples), prop::collection::vec((any::<Index>(), faults()), 1..3));
    let faulty = faulty.prop_map(|(mut sample, faults)| {
        let mut raws = Vec::new();
        for (at, fault) in faults {
            let places = places(&sample, "");
            if !places.is_empty() {
                break_at(&mut sample, at.get::<String>(&places), fault, &mut raws);
            }
        }
        let gap = json!(GAP).to_string();
        raws.iter().fold(sample.to_string(), |text, raw| text.replacen(&gap, raw, 1))
    });
    (faulty, prop::option::weighted(0.1, any::<Index>())).prop_map(|(text, end)| match end {
        Some(end) => text.chars().take(end.index(text.len().max(1))).collect(),
        None => text,
    })
}

fn break_at(sample: &mut Value, place: &str, fault: Fault, raws: &mut Vec<String>) {
    let (parent, key) = place.rsplit_once('/').expect("a pointer begins with a slash");
    let key = key.replace("~1", "/").replace("~0", "~");
    let parent = sample.pointer_mut(parent).expect("a place of the sample");
    let old = match parent {
        Value::Object(fields) => fields.shift_remove(&key).expect("a field of the sample"),
        Value::Array(items) => items.remove(key.parse().expect("a place in a list")),
        _ => panic!("{place} is in no list and no object"),
    };
    let (key, new) = match fault {
        Fault::Replaced(raw) => {
            raws.push(raw);
            (key, json!(GAP))
        }
        Fault::Doubled(raw) => {
            raws.push(format!("{old}, {}: {raw}", json!(key)));
            (key, json!(GAP))
        }
        Fault::Renamed(name) => (name, old),
        Fault::Dropped => return,
    };
    match parent {
        Value::Object(fields) => drop(fields.insert(key, new)),
        Value::Array(items) => items.push(new),
        _ => {}
    }
}

fn limits() -> Limits {
    let any = vec!["*".to_owned()];
    Limits {
        buckets: vec!["mayfly-data".to_owned()],
        subnets: any.clone(),
        security_groups: any,
        secrets: vec!["arn:aws:secretsmanager:eu-central-1:123456789012:secret:sample-AbCdEf".to_owned()],
        ..Limits::default()
    }
}

/// Whether `text` is a sentence that fits on a line of a terminal's and of a log's.
fn assert_fit(text: &str) {
    assert!(!text.is_empty() && text.chars().count() <= REFUSAL_LIMIT, "{text}");
    assert_eq!(visible(text), text);
    assert!(!text.contains(['\n', '\t']), "{text:?}");
}

fn check_document(text: &str) {
    if let Err(refusal) = read(text) {
        assert_fit(&refusal);
    }
    match JobDocument::parse(text, &limits()) {
        Ok(job) => {
            let written = serde_json::to_string(&job).unwrap();
            assert_eq!(JobDocument::parse(&written, &limits()), Ok(job), "{text}");
        }
        Err(refusal) => {
            assert_fit(&refusal);
            let names_its_place = refusal.starts_with("the job document ") || refusal.contains(": ");
            assert!(names_its_place, "{text}: {refusal}");
        }
    }
}

/// What is read is the same when it is written and read again.
fn check_again<T: Serialize + DeserializeOwned>(text: &str) {
    if let Ok(value) = serde_json::from_str::<T>(text) {
        let written = serde_json::to_string(&value).unwrap();
        let again: T = serde_json::from_str(&written).unwrap();
        assert_eq!(rounded(json!(again)), rounded(json!(value)), "{text}");
    }
}

/// serde_json may read a number with a fraction a last digit off.
/// Source: docs.rs/crate/serde_json, feature `float_roundtrip`.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            json!(number.as_f64().map(|number| format!("{number:.9e}")))
        }
        Value::Array(items) => items.into_iter().map(rounded).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, rounded(value))).collect(),
        other => other,
    }
}

fn check_everything(text: &str) {
    check_document(text);
    check_again::<Report>(text);
    check_again::<Order>(text);
    check_again::<Outcome>(text);
    check_again::<Stored>(text);
    check_again::<Entrance>(text);
    check_again::<Containers>(text);
    check_again::<MadeTargetGroup>(text);
}

/// The characters of a queue's name, a task definition's family, a cluster's and a service's.
/// Source: SQS API Reference, `CreateQueue`; ECS API Reference, `RegisterTaskDefinition`, `CreateCluster`, `CreateService`.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn check_names(stack: &str, job: &str) {
    let names = Names::new(stack, job);
    let mailbox = names.mailbox(&"x".repeat(names::SECRET_LENGTH));
    assert!(mailbox.starts_with(&names.mailbox_prefix()) && mailbox.len() <= 80, "{mailbox}");
    for name in names.services().iter().chain([&names.family(), &names.cluster(), &names.base(), &mailbox]) {
        assert!(name.len() <= 255 && name.chars().all(is_plain), "{name}");
    }
    // A group's takes more characters than these.
    // Source: EC2 API Reference, `CreateSecurityGroup`, `GroupName`.
    for name in [names.group(), names.load_balancer_group(), names.endpoint_group()] {
        assert!(name.len() <= 255 && name.chars().all(is_plain) && !name.starts_with("sg-"), "{name}");
    }
    for name in [names.load_balancer(), names.target_group(u16::MAX)] {
        assert!(name.len() <= 32 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
        assert!(!name.starts_with('-') && !name.ends_with('-') && !name.starts_with("internal-"), "{name}");
    }
    for name in [names.teardown(), names.sweep("2026-12-31T23:59:59Z".parse().unwrap())] {
        assert_eq!(names::check_execution_name(&name), Ok(()));
    }
}

/// Every text that ends too early, of every sample.
#[test]
fn a_document_that_ends_too_early_is_refused() {
    for job in JOBS.iter() {
        let text = job.to_string();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let refusal = JobDocument::parse(&text[..end], &limits()).expect_err(&text[..end]);
            assert_fit(&refusal);
        }
        check_document(&text);
    }
}

/// The faulty texts are near to right ones: some of them are still read.
#[test]
fn the_samples_are_read() {
    let is_read = |job: &&Value| JobDocument::parse(&job.to_string(), &limits()).is_ok();
    assert!(JOBS.iter().filter(is_read).count() > 10);
    for report in reports() {
        serde_json::from_value::<Report>(report).unwrap();
    }
    for order in orders() {
        serde_json::from_value::<Order>(order).unwrap();
    }
    for outcome in outcomes() {
        serde_json::from_value::<Outcome>(outcome).unwrap();
    }
    serde_json::from_value::<Stored>(json!({ "turn": turn(), "finished": finished() })).unwrap();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_text_of_whatever_kind_is_read_or_refused(text in strange()) {
        check_everything(&text);
    }

    #[test]
    fn json_of_whatever_kind_is_read_or_refused(value in values()) {
        check_everything(&value.to_string());
    }

    #[test]
    fn a_document_with_faults_is_read_or_refused(text in near(JOBS.clone())) {
        check_document(&text);
    }

    #[test]
    fn a_report_with_faults_is_read_or_refused(text in near(reports())) {
        check_again::<Report>(&text);
    }

    #[test]
    fn an_order_with_faults_is_read_or_refused(text in near(orders())) {
        check_again::<Order>(&text);
    }

    #[test]
    fn an_outcome_with_faults_is_read_or_refused(text in near(outcomes())) {
        check_again::<Outcome>(&text);
    }

    #[test]
    fn a_stored_result_with_faults_is_read_or_refused(
        text in near(vec![json!({ "turn": turn(), "taskArn": "arn", "finished": finished() })])
    ) {
        check_again::<Stored>(&text);
    }

    #[test]
    fn a_cause_has_a_message_however_it_is_written(message in strange(), text in raw()) {
        prop_assert_eq!(message_of(&json!({ "errorMessage": message, "errorType": "X" }).to_string()), message);
        let whole = serde_json::from_str::<Value>(&text).ok().and_then(|value| Some(value.get("errorMessage")?.is_string()));
        if whole != Some(true) {
            prop_assert_eq!(message_of(&text), text);
        }
    }

    #[test]
    fn tags_claim_a_resource_for_their_own_stack_and_job_alone(
        stack in strange(),
        keys in prop::collection::vec(
            select(vec![tags::STACK, tags::JOB, tags::EXECUTION, tags::EXPIRY, tags::PURPOSE, "team"]), 0..8),
        values in prop::collection::vec(
            prop_oneof![strange(), Just("mayfly".to_owned()), Just("2026-11-29T12:00:00Z".to_owned())], 8),
    ) {
        let pairs: Vec<_> = keys.iter().copied().zip(values.iter().map(String::as_str)).collect();
        let last = |key: &str| pairs.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| *value);
        for stack in [stack.as_str(), "mayfly"] {
            let claim = Claim::read(stack, pairs.iter().copied());
            let job = last(tags::JOB).filter(|_| last(tags::STACK) == Some(stack));
            prop_assert_eq!(claim.map(|claim| claim.job), job);
            if let Some(claim) = claim {
                prop_assert_eq!(claim.execution, last(tags::EXECUTION));
                let expiry: Option<Timestamp> = last(tags::EXPIRY).and_then(|expiry| expiry.parse().ok());
                prop_assert_eq!(claim.expiry, expiry);
            }
        }
    }

    #[test]
    fn what_is_made_visible_moves_no_cursor(text in strange()) {
        let shown = visible(&text);
        prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
        prop_assert_eq!(visible(&shown), shown);
        prop_assert!(!settled(&text).contains('\r'));
        let written = visible_json(&text).unwrap();
        prop_assert!(!written.chars().any(char::is_control));
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn what_is_shown_is_short_and_has_no_secret(text in strange(), name in "[a-z]{0,8}") {
        assert_fit(&shown(&text));
        prop_assert!(shown(&text).chars().count() <= SHOWN_LIMIT + " ...".len());
        for secret in [format!("{text}?SECRET"), format!("https://{name}:SECRET@example.com/"), format!("{text};sig=SECRET")] {
            prop_assert!(!shown(&secret).contains("SECRET"), "{secret:?}");
        }
    }

    #[test]
    fn every_stack_and_job_has_names_that_aws_takes(
        stack in "[A-Za-z][A-Za-z0-9-]{0,43}", id in "[A-Za-z0-9_-]{1,64}", name in strange()
    ) {
        assert!(stack.len() <= names::STACK_LIMIT);
        check_names(&stack, &id);
        let derived = names::job_id(&name);
        prop_assert_eq!(&names::job_id(&derived), &derived);
        check_names(&stack, &derived);
        if let Err(refusal) = names::check_execution_name(&name) {
            assert_fit(&refusal);
        }
    }
}
