//! What reaches a target, and when.

use std::collections::VecDeque;

use anyhow::bail;
use aws_credential_types::Credentials;
use aws_sdk_eventbridge::config::{BehaviorVersion, Region};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use futures_util::FutureExt as _;
use local_aws::auth::{Guard, Rights};
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::policy::Policy;
use local_aws::random::Random;
use local_aws::server::in_process;
use local_aws::upstream::{Session, Upstream};
use serde_json::json;

use super::*;

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:111122223333:function:stack-Stopped";
const MACHINE: &str = "arn:aws:states:eu-west-1:111122223333:stateMachine:stack-tear-down";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:notices";
const RULE: &str = "arn:aws:events:eu-west-1:111122223333:rule/stack-Rule";

/// Targets that do as they are told and note what reaches them, and how many seconds after the beginning.
#[derive(Clone, Debug)]
struct Noting {
    clock: Clock,
    began: Timestamp,
    outcomes: Arc<Mutex<VecDeque<Run>>>,
    noted: Arc<Mutex<Vec<(i64, String)>>>,
}

impl Noting {
    fn note(&self, what: String) {
        let seconds = self.clock.now().duration_since(self.began).as_secs();
        self.noted.lock().unwrap().push((seconds, what));
    }

    fn next(&self) -> Run {
        self.outcomes.lock().unwrap().pop_front().unwrap_or(Run::Done)
    }

    fn reached(&self) -> Vec<(i64, String)> {
        std::mem::take(&mut self.noted.lock().unwrap())
    }
}

impl Targets for Noting {
    fn admits<'a>(&'a self, _function: &'a str, caller: &'a str) -> BoxFuture<'a, Result<(), String>> {
        let admits = caller == RULE || caller.contains(":role/");
        async move { if admits { Ok(()) } else { Err("no policy admits it".to_owned()) } }.boxed()
    }

    fn run<'a>(&'a self, _function: &'a str, payload: &'a str) -> BoxFuture<'a, Run> {
        self.note(payload.to_owned());
        let outcome = self.next();
        async move { outcome }.boxed()
    }

    fn start_execution<'a>(
        &'a self,
        _role: &'a str,
        _machine: &'a str,
        name: &'a str,
        input: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        self.note(format!("{name} {input}"));
        let outcome = match self.next() {
            Run::Done => Ok(()),
            Run::Throttled => Err(Undelivered::ForNow("ThrottlingException".to_owned())),
            Run::Threw(why) => Err(Undelivered::ForGood(why)),
        };
        async move { outcome }.boxed()
    }

    fn send<'a>(
        &'a self,
        to: &'a str,
        message: &'a str,
        _caller: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        self.note(format!("{to} {message}"));
        async { Ok(()) }.boxed()
    }
}

/// The root alone is known here.
#[derive(Debug)]
struct Nobody;

impl Rights for Nobody {
    fn session<'a>(&'a self, _: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Session>>> {
        async { Ok(None) }.boxed()
    }

    fn policies<'a>(&'a self, role: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Policy>>> {
        async move { bail!("there is no role {role}") }.boxed()
    }
}

#[derive(Debug)]
struct Copies(Vec<Duration>);

impl Delivery for Copies {
    fn copies(&self, _event: &Value) -> Vec<Duration> {
        self.0.clone()
    }
}

/// Delivers every event once and in time.
fn once() -> Copies {
    Copies(vec![Duration::ZERO])
}

fn bus(outcomes: impl IntoIterator<Item = Run>, delivery: impl Delivery + 'static) -> (Bus, Noting) {
    let began = "2026-01-02T03:04:05Z".parse().unwrap();
    let clock = Clock::new(TimeScale::REAL, TimeScale::REAL).starting_at(began);
    let outcomes = Arc::new(Mutex::new(outcomes.into_iter().collect()));
    let noting = Noting { clock, began, outcomes, noted: Arc::default() };
    let root = Credentials::from_keys("AKIA", "secret", None);
    let upstream = Upstream::new("eu-west-1", "111122223333", root, clock, Random::seeded(1));
    let guard = Guard::new(upstream.clone(), Nobody);
    let (targets, delivery) = (Arc::new(noting.clone()), Arc::new(delivery));
    let around = Surroundings { upstream, guard, calls: CallLog::new(clock) };
    let bus = Bus::new(Config { around, targets, delivery });
    (bus, noting)
}

fn rule(target: &Value) -> Rule {
    let pattern = json!({ "source": ["aws.ecs", "mayfly"], "detail": { "lastStatus": ["STOPPED"] } });
    Rule::new("stack-Rule", RULE, &json!({ "EventPattern": pattern, "Targets": [target] })).unwrap()
}

fn put(bus: &Bus, status: &str) {
    bus.put("aws.ecs", "ECS Task State Change", vec!["arn:t".to_owned()], json!({ "lastStatus": status }));
}

async fn hours(clock: Clock, hours: u64) {
    clock.sleep(Duration::from_hours(hours)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_matches_reaches_the_function_once_and_soon() {
    let (bus, noting) = bus([], once());
    bus.put_rule(rule(&json!({ "Id": "1", "Arn": FUNCTION })));
    put(&bus, "RUNNING");
    put(&bus, "STOPPED");
    hours(noting.clock, 1).await;
    let [(seconds, event)] = &noting.reached()[..] else { panic!("once") };
    assert!(*seconds <= 1 && event.contains(r#""lastStatus":"STOPPED""#), "{seconds} {event}");
    bus.delete_rule(RULE);
    put(&bus, "STOPPED");
    hours(noting.clock, 1).await;
    assert_eq!(noting.reached(), []);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_lost_doubled_or_late_where_that_is_decided() {
    for (copies, expected) in [(vec![], 0), (vec![0, 0], 2), (vec![3600], 1)] {
        let late = copies.iter().map(|late: &i64| Duration::from_secs(late.unsigned_abs())).collect();
        let (bus, noting) = bus([], Copies(late));
        bus.put_rule(rule(&json!({ "Id": "1", "Arn": FUNCTION })));
        put(&bus, "STOPPED");
        hours(noting.clock, 2).await;
        let reached = noting.reached();
        assert_eq!(reached.len(), expected);
        assert!(reached.iter().zip(copies).all(|((seconds, _), late)| (0..=1).contains(&(seconds - late))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_fails_is_run_twice_more_and_then_the_event_is_dropped() {
    let threw = || Run::Threw("Internal".to_owned());
    let (bus, noting) = bus([threw(), threw(), threw()], once());
    bus.put_rule(rule(&json!({ "Id": "1", "Arn": FUNCTION })));
    put(&bus, "STOPPED");
    hours(noting.clock, 1).await;
    let seconds: Vec<_> = noting.reached().into_iter().map(|(seconds, _)| seconds).collect();
    assert_eq!(seconds, [seconds[0], seconds[0] + 60, seconds[0] + 180]);
    assert_eq!(bus.dropped()[0].why, "Internal");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_throttled_is_tried_for_six_hours() {
    let (bus, noting) = bus(vec![Run::Throttled; 1000], once());
    bus.put_rule(rule(&json!({ "Id": "1", "Arn": FUNCTION })));
    put(&bus, "STOPPED");
    hours(noting.clock, 12).await;
    let last = noting.reached().last().unwrap().0;
    assert!((6 * 3600 - 300..=6 * 3600).contains(&last), "{last}");
    assert_eq!(bus.dropped().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_started_by_one_name_until_that_succeeds() {
    let (bus, noting) = bus([Run::Throttled, Run::Throttled], once());
    let transformer = json!({
        "InputPathsMap": { "status": "$.detail.lastStatus" },
        "InputTemplate": r#"{"status": <status>}"#
    });
    bus.put_rule(rule(&json!({ "Id": "1", "Arn": MACHINE, "RoleArn": "arn:aws:iam::1:role/r", "InputTransformer": transformer })));
    put(&bus, "STOPPED");
    hours(noting.clock, 1).await;
    let reached = noting.reached();
    assert!(reached.len() == 3 && reached.iter().all(|(_, call)| *call == reached[0].1), "{reached:?}");
    assert!(reached[0].1.ends_with(r#" {"status":"STOPPED"}"#));
}

#[tokio::test(start_paused = true)]
async fn what_no_other_try_would_change_goes_to_the_dead_letters_at_once() {
    let gone = || Run::Threw("StateMachineDoesNotExist".to_owned());
    let target = json!({ "Id": "1", "Arn": MACHINE, "RoleArn": "arn:aws:iam::1:role/r" });
    let (without, _) = bus([gone()], once());
    without.put_rule(rule(&target));
    put(&without, "STOPPED");
    let (with, noting) = bus([gone()], once());
    let mut target = target;
    target["DeadLetterConfig"] = json!({ "Arn": TOPIC });
    with.put_rule(rule(&target));
    put(&with, "STOPPED");
    hours(noting.clock, 1).await;
    assert_eq!(without.dropped()[0].target, MACHINE);
    assert!(with.dropped().is_empty() && noting.reached()[1].1.starts_with(TOPIC));
}

#[tokio::test(start_paused = true)]
async fn the_sdk_puts_events_but_none_of_aws_s_own() {
    let (bus, noting) = bus([], once());
    bus.put_rule(rule(&json!({ "Id": "1", "Arn": TOPIC })));
    let config = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::from_keys("AKIA", "secret", None))
        .time_source(noting.clock)
        .http_client(in_process(bus.clone()));
    let client = aws_sdk_eventbridge::Client::from_conf(config.build());
    let entry = |source: &str, detail: &str| {
        PutEventsRequestEntry::builder().source(source).detail_type("T").detail(detail).build()
    };
    let detail = r#"{"lastStatus":"STOPPED"}"#;
    let put = client.put_events().entries(entry("mayfly", detail)).entries(entry("aws.ecs", detail));
    let answer = put.entries(entry("mayfly", "[")).send().await.unwrap();
    let codes: Vec<_> = answer.entries().iter().map(|entry| entry.error_code()).collect();
    assert_eq!(codes, [None, Some("NotAuthorizedForSourceException"), Some("MalformedDetail")]);
    assert_eq!(answer.failed_entry_count(), 2);
    hours(noting.clock, 1).await;
    assert_eq!(noting.reached().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_invokes_its_function_at_once_and_then_at_its_rate() {
    let (bus, noting) = bus([], once());
    let properties = json!({
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": FUNCTION, "RoleArn": "arn:aws:iam::111122223333:role/r" }
    });
    bus.put_schedule(Schedule::new("arn:schedule", &properties).unwrap());
    noting.clock.sleep(Duration::from_mins(150)).await;
    let reached = noting.reached();
    assert_eq!(reached.len(), 3);
    assert!(reached.iter().zip(0..).all(|((seconds, _), hour)| (0..60).contains(&(seconds - hour * 3600))));
    let event: Value = serde_json::from_str(&reached[1].1).unwrap();
    assert_eq!(
        (&event["time"], &event["resources"][0]),
        (&json!("2026-01-02T04:04:05Z"), &json!("arn:schedule"))
    );
    bus.delete_schedule("arn:schedule");
    hours(noting.clock, 5).await;
    assert_eq!(noting.reached(), []);
}

#[test]
fn what_is_not_played_is_refused() {
    let pattern = json!({ "source": ["mayfly"] });
    let rule =
        json!({ "EventPattern": pattern, "Targets": [{ "Id": "1", "Arn": FUNCTION, "EcsParameters": {} }] });
    assert!(Rule::new("r", RULE, &rule).is_err());
    for expression in ["cron(0 * * * ? *)", "rate(0 hours)", "rate(1 moon)"] {
        let schedule = json!({
            "ScheduleExpression": expression, "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": { "Arn": FUNCTION, "RoleArn": "r" }
        });
        assert!(Schedule::new("arn", &schedule).is_err(), "{expression}");
    }
}
