//! The calls of the real client, as the product makes them and as it must not.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use local_aws::auth::{Guard, Rights};
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::policy::Policy;
use local_aws::random::Random;
use local_aws::server::in_process;
use local_aws::upstream::Session;

use super::*;

const ROLE: &str = "arn:aws:iam::111122223333:role/Function";
const START: i64 = 1_800_000_000;

/// One role, which may do this.
#[derive(Debug)]
struct May(&'static str);

impl Rights for May {
    fn session<'a>(&'a self, _access_key: &'a str) -> BoxFuture<'a, Result<Option<Session>>> {
        async { Ok(None) }.boxed()
    }

    fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, Result<Vec<Policy>>> {
        async move {
            if role_arn != ROLE {
                bail!("there is no role {role_arn}");
            }
            let statement = format!(
                r#"{{"Effect":"Allow","Action":"{}","Resource":"arn:aws:dynamodb:eu-west-1:111122223333:table/jobs"}}"#,
                self.0
            );
            Ok(vec![Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#))?])
        }
        .boxed()
    }
}

/// A table `jobs` in an account whose role may get items.
struct World {
    dynamodb: DynamoDb,
    client: Client,
}

impl World {
    fn new(seed: u64) -> Self {
        let start = jiff::Timestamp::from_second(START).expect("a time");
        let clock = Clock::new(TimeScale::REAL, TimeScale::REAL).starting_at(start);
        let root = Credentials::from_keys("AKIAROOT", "root-secret", None);
        let upstream = Upstream::new("eu-west-1", "111122223333", root, clock, Random::seeded(seed));
        let guard = Guard::new(upstream.clone(), May("dynamodb:GetItem"));
        let calls = CallLog::new(clock);
        let dynamodb = DynamoDb::new(Surroundings { upstream, guard, calls });
        dynamodb.make_table("jobs", "job", "ttl");
        let client = dynamodb.client(&dynamodb.around.upstream.root);
        Self { dynamodb, client }
    }

    async fn put(&self, attributes: &[(&str, AttributeValue)]) {
        let put = self.client.put_item().table_name("jobs").item("job", text("a"));
        let put = attributes.iter().fold(put, |put, (name, value)| put.item(*name, value.clone()));
        put.send().await.expect("it is put");
    }

    fn update(&self, set: &str, values: &[(&str, AttributeValue)]) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name("jobs").key("job", text("a"));
        let update = update.update_expression(set);
        values
            .iter()
            .fold(update, |update, (name, value)| update.expression_attribute_values(*name, value.clone()))
    }

    /// What is stored of the item, by a consistent read.
    async fn get(&self) -> HashMap<String, AttributeValue> {
        let get = self.client.get_item().table_name("jobs").key("job", text("a")).consistent_read(true);
        get.send().await.expect("an answer").item.unwrap_or_default()
    }
}

impl DynamoDb {
    fn client(&self, credentials: &Credentials) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_dynamodb::config::Region::new("eu-west-1"))
            .credentials_provider(credentials.clone())
            .time_source(self.around.upstream.clock)
            .http_client(in_process(self.clone()))
            .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
            .build();
        Client::from_conf(config)
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn texts(texts: &[&str]) -> AttributeValue {
    AttributeValue::Ss(texts.iter().map(|&text| text.to_owned()).collect())
}

/// Names every attribute as the product does: `#name` is `name`.
fn name(update: UpdateItemFluentBuilder, names: &[&str]) -> UpdateItemFluentBuilder {
    names.iter().fold(update, |update, name| update.expression_attribute_names(format!("#{name}"), *name))
}

/// The error's code and sentence.
async fn refused(update: UpdateItemFluentBuilder) -> String {
    refusal(update.send().await)
}

fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    answer: Result<T, SdkError<E>>,
) -> String {
    let error = answer.expect_err("it is refused");
    format!("{}: {}", error.code().unwrap_or_default(), error.message().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn what_is_put_is_got_and_a_second_put_replaces_it_whole() {
    let world = World::new(1);
    assert!(world.get().await.is_empty());
    world.put(&[("turn", text("")), ("ipv6", AttributeValue::Bool(true)), ("start", number(-7))]).await;
    world.put(&[("start", number(10)), ("ended", texts(&["b", "a"]))]).await;
    let stored = HashMap::from([
        ("job".to_owned(), text("a")),
        ("start".to_owned(), number(10)),
        ("ended".to_owned(), texts(&["a", "b"])),
    ]);
    assert_eq!(world.get().await, stored);
    let items = world.dynamodb.items("jobs");
    assert_eq!(items.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(items["a"]["job"], Value::Text("a".into()));
    assert!(world.dynamodb.items("other").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_update_sets_removes_and_adds_and_makes_an_item_that_is_absent() {
    let world = World::new(1);
    let values = [(":t", text("one")), (":n", number(2)), (":s", texts(&["x"])), (":ttl", number(5))];
    let update = || {
        let set =
            "SET #token = :t, #ttl = if_not_exists(#ttl, :ttl) REMOVE #loss, #end ADD #seen :s, #count :n";
        name(world.update(set, &values), &["token", "ttl", "loss", "end", "seen", "count"])
    };
    update().send().await.expect("it is made");
    world
        .put(&[("ttl", number(4)), ("loss", text("l")), ("seen", texts(&["y", "x"])), ("count", number(40))])
        .await;
    let old = update().return_values(ReturnValue::AllOld).send().await.expect("it is changed");
    assert_eq!(old.attributes.expect("the old item")["loss"], text("l"));
    let stored = HashMap::from([
        ("job".to_owned(), text("a")),
        ("token".to_owned(), text("one")),
        ("ttl".to_owned(), number(4)),
        ("seen".to_owned(), texts(&["x", "y"])),
        ("count".to_owned(), number(42)),
    ]);
    assert_eq!(world.get().await, stored);
    // Values are those from before the update.
    let swap = name(world.update("SET #token = #ttl, #ttl = #token", &[]), &["token", "ttl"]);
    let new = swap.return_values(ReturnValue::AllNew).send().await.expect("it is changed").attributes;
    let new = new.expect("the new item");
    assert_eq!((&new["token"], &new["ttl"]), (&number(4), &text("one")));
}

#[tokio::test(start_paused = true)]
async fn a_condition_decides_whether_an_update_is_done() {
    let world = World::new(1);
    world.put(&[("start", number(9)), ("nonce", text("b")), ("ended", texts(&["x", "y"]))]).await;
    for (condition, holds) in [
        ("attribute_exists(#start)", true),
        ("attribute_exists(#gone)", false),
        ("attribute_not_exists(#gone)", true),
        ("attribute_not_exists(#start)", false),
        ("#start = :nine", true),
        ("#start < :ten", true),
        // As texts it would be the other way round.
        ("#start > :ten", false),
        (":ten <= #start", false),
        ("#start >= :nine", true),
        ("#nonce < :c", true),
        ("#nonce = :nine", false),
        ("#nonce < :nine", false),
        ("#gone = :nine", false),
        ("#gone < :nine", false),
        ("#ended = :ended", true),
        ("NOT #start = :nine", false),
        ("#start = :ten or #nonce = :b and #start = :nine", true),
        ("(#start = :nine OR #nonce = :b) AND #start = :ten", false),
        ("NOT #start = :ten AND #nonce = :c", false),
    ] {
        let values = [
            (":nine", number(9)),
            (":ten", number(10)),
            (":b", text("b")),
            (":c", text("c")),
            (":ended", texts(&["y", "x"])),
        ];
        let values: Vec<_> = values.into_iter().filter(|(name, _)| condition.contains(name)).collect();
        let names = ["start", "gone", "nonce", "ended"].into_iter();
        let names: Vec<_> =
            names.filter(|name| condition.contains(&format!("#{name}"))).chain(["touched"]).collect();
        let update = world.update("REMOVE #touched", &values).condition_expression(condition);
        let done = name(update, &names).send().await;
        if !holds {
            let error = done.as_ref().expect_err(condition).as_service_error().expect("an answer");
            assert!(error.is_conditional_check_failed_exception(), "{condition}: {error:?}");
        }
        assert_eq!(done.is_ok(), holds, "{condition}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_gives_the_item_where_that_is_asked_for() {
    let world = World::new(1);
    world.put(&[("start", number(9))]).await;
    let failed = async |wanted: ReturnValuesOnConditionCheckFailure| {
        let update = world.update("SET #end = :end", &[(":end", text("e"))]);
        let update = name(update, &["end"]).condition_expression("attribute_exists(#end)");
        let done = update.return_values_on_condition_check_failure(wanted).send().await;
        let error = done.expect_err("the condition fails").into_service_error();
        match error {
            aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(e) => {
                e.item
            }
            other => panic!("another error: {other:?}"),
        }
    };
    assert_eq!(failed(ReturnValuesOnConditionCheckFailure::None).await, None);
    let item = failed(ReturnValuesOnConditionCheckFailure::AllOld).await.expect("the item");
    assert_eq!(item["start"], number(9));
    let put = world.client.put_item().table_name("jobs").item("job", text("a"));
    let put =
        put.condition_expression("attribute_not_exists(#job)").expression_attribute_names("#job", "job");
    assert!(
        put.send()
            .await
            .expect_err("it is there")
            .into_service_error()
            .is_conditional_check_failed_exception()
    );
    assert_eq!(world.get().await["start"], number(9));
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_dynamodb_would_not_take_or_that_is_not_known_here_is_refused() {
    let world = World::new(1);
    world.put(&[("name", text("n"))]).await;
    let value = [(":v", text("v"))];
    for (set, condition, word) in [
        ("", None, "at this place of the UpdateExpression"),
        ("SET #a", None, "at this place"),
        ("SET #a = :v SET #b = :v", None, "can only be used once"),
        ("SET #a = :v, #a = :v", None, "overlap"),
        ("SET #a = :v REMOVE #a", None, "overlap"),
        ("SET #job = :v", None, "part of the key"),
        ("SET token = :v", None, "reserved keyword: token"),
        ("SET plain = :v", None, "\"plain\""),
        ("SET #a.b = :v", None, "'.'"),
        ("SET #a = :v + :v", None, "'+'"),
        ("SET #a = #gone, #b = :v", None, "does not exist in the item"),
        ("SET #unknown = :v", None, "attribute name: #unknown"),
        ("SET #a = :w", None, "attribute value: :w"),
        ("ADD #a :v", None, "operator or function: ADD, operand type: S"),
        ("DELETE #a :v", None, "\"DELETE\""),
        ("SET #a = :v", Some("#a <> :v"), "\"<>\""),
        ("SET #a = :v", Some("begins_with(#a, :v)"), "\"begins_with\""),
        ("SET #a = :v", Some("#a = :v AND"), "ConditionExpression"),
        ("SET #a = :v", Some("(#a = :v"), "ConditionExpression"),
        ("SET #a = :v", Some("#a = :v #a = :v"), "ConditionExpression"),
        ("SET #a = :v", Some(&format!("#a = :v{}", " ".repeat(4096))), "4103"),
        ("REMOVE #a", None, "ExpressionAttributeValues unused in expressions: keys: {:v}"),
    ] {
        let names = ["a", "b", "gone", "job"].into_iter();
        let names: Vec<_> =
            names.filter(|name| format!("{set}{condition:?}").contains(&format!("#{name}"))).collect();
        let update =
            name(world.update(set, &value), &names).set_condition_expression(condition.map(str::to_owned));
        let refusal = refused(update).await;
        assert!(refusal.starts_with("ValidationException: ") && refusal.contains(word), "{set}: {refusal}");
    }
    let unused = name(world.update("SET #a = :v", &value), &["a", "b"]);
    assert!(refused(unused).await.contains("unused in expressions: keys: {#b}"));
    let ordered =
        world.update("REMOVE #a", &[(":v", AttributeValue::Bool(true))]).condition_expression("#a < :v");
    assert!(refused(name(ordered, &["a"])).await.contains("operand type: BOOL"));
    let kind = name(world.update("ADD #name :n", &[(":n", number(1))]), &["name"]);
    assert!(refused(kind).await.contains("incorrect data type"));
    let nothing = world.client.update_item().table_name("jobs").key("job", text("b"));
    let nothing = name(nothing.update_expression("REMOVE #a"), &["a"]);
    assert!(refused(nothing).await.contains("only takes away"));
    let attributes = world.update("SET #a = :v", &value).return_values(ReturnValue::UpdatedNew);
    assert!(refused(name(attributes, &["a"])).await.contains("UPDATED_NEW"));
    assert_eq!(world.get().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_and_values_are_as_dynamodb_has_them() {
    let world = World::new(1);
    let get = |key: AttributeValue| world.client.get_item().table_name("jobs").key("job", key);
    assert!(refusal(get(text("")).send().await).contains("empty string value. Key: job"));
    assert!(refusal(get(text(&"k".repeat(2049))).send().await).contains("2048 bytes"));
    get(text(&"k".repeat(2048))).send().await.expect("it is just short enough");
    for wrong in [get(number(1)), get(text("a")).key("other", text("a"))] {
        assert!(refusal(wrong.send().await).contains("does not match the schema"));
    }
    assert!(refusal(get(text("a")).projection_expression("x").send().await).contains("ProjectionExpression"));

    let put = || world.client.put_item().table_name("jobs");
    assert!(refusal(put().item("x", text("a")).send().await).contains("Missing the key job"));
    assert!(refusal(put().item("job", number(1)).send().await).contains("expected: S actual: N"));
    for (value, word) in [
        (texts(&[]), "empty set"),
        (texts(&["x", "x"]), "duplicates"),
        (texts(&[""]), "empty text"),
        (AttributeValue::N("1.5".into()), "1.5"),
        (AttributeValue::N("1".repeat(39)), "111"),
        (AttributeValue::L(Vec::new()), "unknown variant `L`"),
    ] {
        let refusal = refusal(put().item("job", text("a")).item("v", value).send().await);
        assert!(refusal.starts_with("ValidationException") && refusal.contains(word), "{refusal}");
    }
    let other = world.client.get_item().table_name("other").key("job", text("a")).send().await;
    assert!(other.expect_err("no table").into_service_error().is_resource_not_found_exception());
    let query = world.client.query().table_name("jobs").send().await;
    assert!(refusal(query).starts_with("UnknownOperationException"));
}

#[tokio::test(start_paused = true)]
async fn an_item_has_400_kilobytes_with_its_names() {
    let world = World::new(1);
    // "job" and "a", "text" and this: 409,600 bytes.
    let most = "é".repeat((409_600 - 8) / 2);
    world.put(&[("text", text(&most))]).await;
    let put = world.client.put_item().table_name("jobs").item("job", text("a"));
    let put = put.item("text", text(&format!("{most}."))).send().await;
    assert_eq!(refusal(put), "ValidationException: Item size has exceeded the maximum allowed size");
    let update = name(world.update("SET #n = :n", &[(":n", number(1))]), &["n"]);
    let refusal = refused(update).await;
    assert_eq!(refusal, "ValidationException: Item size to update has exceeded the maximum allowed size");
    assert_eq!(world.get().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_not_consistent_is_behind_by_a_second_at_most() {
    let world = World::new(1);
    let behind = async || {
        let got = world.client.get_item().table_name("jobs").key("job", text("a")).send().await;
        got.expect("an answer").item.and_then(|item| item["n"].as_n().expect("a number").parse::<u32>().ok())
    };
    for n in 1..=20 {
        world.put(&[("n", number(n))]).await;
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(world.get().await["n"], number(n));
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        seen.insert(behind().await.expect("the first is older than a second"));
    }
    // Written 0.1 to 1 second ago.
    assert_eq!(seen, (11..=20).collect());
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..50 {
        assert_eq!(behind().await, Some(20));
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_item_goes_within_two_days_and_lives_on_where_its_time_is_put_off() {
    const DAY: u64 = 24 * 60 * 60;
    let mut hours = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let world = World::new(seed);
        world.put(&[("ttl", number(START + 1000))]).await;
        let put_off =
            |to: i64| name(world.update("SET #ttl = :ttl", &[(":ttl", number(to))]), &["ttl"]).send();
        let mut passed = 0;
        while !world.get().await.is_empty() {
            tokio::time::advance(Duration::from_mins(30)).await;
            passed += 1800;
        }
        assert!((1000..=1000 + 2 * DAY + 1800).contains(&passed), "{passed}");
        hours.insert(passed / 3600);
        assert!(world.dynamodb.items("jobs").is_empty());

        // Nothing is left of the item; and one that has expired may go, or be put off.
        put_off(START).await.expect("it is made");
        assert_eq!(world.get().await.len(), 2);
        put_off(START + 1_000_000).await.expect("it is put off");
        tokio::time::advance(Duration::from_secs(4 * DAY)).await;
        assert_eq!(world.get().await.len(), 2);
    }
    assert!(hours.len() > 5, "{hours:?}");
    let world = World::new(1);
    for never in [text("1"), number(1)] {
        world.put(&[("ttl", never)]).await;
        tokio::time::advance(Duration::from_secs(3 * DAY)).await;
        assert_eq!(world.get().await.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_does_on_a_table_what_its_policy_says() {
    let world = World::new(1);
    let credentials = Credentials::new("ASIAROLE", "secret", Some("token".into()), None, "test");
    let arn = "arn:aws:sts::111122223333:assumed-role/Function/f".to_owned();
    let session = Session {
        arn,
        role_arn: ROLE.into(),
        name: "f".into(),
        credentials: credentials.clone(),
        policy: None,
    };
    world.dynamodb.make_table("others", "job", "ttl");
    let client = world.dynamodb.client(&credentials);
    let get = |table: &str| client.get_item().table_name(table).key("job", text("a")).send();
    assert!(refusal(get("jobs").await).starts_with("UnrecognizedClientException"));
    world.dynamodb.around.upstream.sessions.add(session);
    get("jobs").await.expect("it may");
    assert!(refusal(get("others").await).starts_with("AccessDeniedException"));
    let put = client.put_item().table_name("jobs").item("job", text("a")).send().await;
    assert!(
        refusal(put).contains("not authorized to perform: dynamodb:PutItem on resource: arn:aws:dynamodb:")
    );
    let calls = world.dynamodb.around.calls.snapshot();
    let outcomes: Vec<_> = calls.iter().map(|call| (call.action.as_str(), call.outcome.as_str())).collect();
    assert_eq!(outcomes[1], ("dynamodb:GetItem", "OK"));
    assert_eq!(outcomes[3], ("dynamodb:PutItem", "AccessDeniedException"));
}
