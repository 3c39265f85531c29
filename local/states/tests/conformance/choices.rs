//! Choice rules (state-choice.html).

use local_states::execution::Status;
use serde_json::{Value, json};

use crate::cloud::Cloud;

/// Whether a rule leads where it should for an input; an error's name if it leads nowhere at all.
async fn holds(rule: &Value, input: &Value) -> Result<bool, String> {
    let mut rule = rule.clone();
    rule["Next"] = "Yes".into();
    let machine = json!({ "StartAt": "Choose", "States": {
        "Choose": { "Type": "Choice", "Choices": [rule], "Default": "No" },
        "Yes": { "Type": "Pass", "Result": true, "End": true },
        "No": { "Type": "Pass", "Result": false, "End": true },
    } });
    let end = Cloud::new().run(&machine, input).await;
    match end.status {
        Status::Succeeded => Ok(end.output == true),
        _ => Err(end.error().to_owned()),
    }
}

async fn test(operator: &str, operand: Value, value: Value) -> bool {
    let mut rule = json!({ "Variable": "$.v" });
    rule[operator] = operand;
    holds(&rule, &json!({ "v": value, "other": 5, "word": "m", "yes": true, "time": "2020-01-01T00:00:00Z" }))
        .await
        .unwrap_or_else(|error| panic!("{operator} is {error}"))
}

/// Every comparison, against a constant and against a path.
#[tokio::test]
async fn comparisons_compare() {
    for (prefix, path, low, same, high) in [
        ("Numeric", "$.other", json!(4), json!(5.0), json!(5.5)),
        ("String", "$.word", json!("a"), json!("m"), json!("z")),
        (
            "Timestamp",
            "$.time",
            json!("2019-12-31T23:59:59Z"),
            json!("2020-01-01T01:00:00+01:00"),
            json!("2020-01-01T00:00:00.5Z"),
        ),
    ] {
        let constant = match prefix {
            "Numeric" => json!(5),
            "String" => json!("m"),
            _ => json!("2020-01-01T00:00:00Z"),
        };
        for (relation, expected) in [
            ("Equals", [false, true, false]),
            ("LessThan", [true, false, false]),
            ("LessThanEquals", [true, true, false]),
            ("GreaterThan", [false, false, true]),
            ("GreaterThanEquals", [false, true, true]),
        ] {
            for (value, expected) in [&low, &same, &high].into_iter().zip(expected) {
                let operator = format!("{prefix}{relation}");
                assert_eq!(
                    test(&operator, constant.clone(), value.clone()).await,
                    expected,
                    "{operator} {value}"
                );
                let operator = format!("{operator}Path");
                assert_eq!(test(&operator, json!(path), value.clone()).await, expected, "{operator} {value}");
            }
        }
    }
    assert!(test("BooleanEquals", json!(true), json!(true)).await);
    assert!(!test("BooleanEqualsPath", json!("$.yes"), json!(false)).await);
}

/// A value of another type makes a comparison false, not an error.
#[tokio::test]
async fn another_type_does_not_match() {
    assert!(!test("NumericEquals", json!(5), json!("5")).await);
    assert!(!test("StringEquals", json!("5"), json!(5)).await);
    assert!(!test("TimestampLessThan", json!("2020-01-01T00:00:00Z"), json!("yesterday")).await);
}

/// In StringMatches `*` stands for any characters, also none; a backslash makes it a character.
#[tokio::test]
async fn string_matches_takes_wildcards_and_escapes() {
    for (pattern, text, expected) in [
        ("log-*.txt", "log-a.b.txt", true),
        ("log-*.txt", "log-.txt", true),
        ("log-*.txt", "log-a.csv", false),
        ("*a*b*", "xaxbx", true),
        ("a\\*c", "a*c", true),
        ("a\\*c", "abc", false),
        ("a\\\\*", "a\\anything", true),
    ] {
        assert_eq!(test("StringMatches", json!(pattern), json!(text)).await, expected, "{pattern} on {text}");
    }
}

/// The type tests.
#[tokio::test]
async fn type_tests_tell_types() {
    for (operator, value, expected) in [
        ("IsNull", json!(null), true),
        ("IsNull", json!(0), false),
        ("IsString", json!("x"), true),
        ("IsNumeric", json!(1.5), true),
        ("IsNumeric", json!("1"), false),
        ("IsBoolean", json!(false), true),
        ("IsTimestamp", json!("2020-01-01T00:00:00Z"), true),
        ("IsTimestamp", json!("2020-01-01"), false),
        ("IsPresent", json!(null), true),
    ] {
        assert_eq!(test(operator, json!(true), value.clone()).await, expected, "{operator} {value}");
        assert_eq!(test(operator, json!(false), value.clone()).await, !expected, "not {operator} {value}");
    }
}

/// Only IsPresent may ask for what is not there; any other test of it is States.Runtime.
#[tokio::test]
async fn a_missing_variable_is_an_error_except_for_is_present() {
    let rule = |operator: &str, operand: Value| {
        let mut rule = json!({ "Variable": "$.none" });
        rule[operator] = operand;
        rule
    };
    assert_eq!(holds(&rule("IsPresent", json!(false)), &json!({})).await, Ok(true));
    assert_eq!(holds(&rule("IsNull", json!(true)), &json!({})).await, Err("States.Runtime".into()));
    assert_eq!(holds(&rule("StringEquals", json!("x")), &json!({})).await, Err("States.Runtime".into()));
}

/// And, Or and Not; And stops at the first that is false, so that IsPresent can guard.
#[tokio::test]
async fn conditions_combine() {
    let present = json!({ "Variable": "$.v", "IsPresent": true });
    let five = json!({ "Variable": "$.v", "NumericEquals": 5 });
    let and = json!({ "And": [present, five] });
    assert_eq!(holds(&and, &json!({ "v": 5 })).await, Ok(true));
    assert_eq!(holds(&and, &json!({})).await, Ok(false));
    assert_eq!(holds(&json!({ "Not": and }), &json!({})).await, Ok(true));
    assert_eq!(holds(&json!({ "Or": [{ "Not": present }, five] }), &json!({ "v": 6 })).await, Ok(false));
}

/// A rule may have a Comment wherever it stands (recorded).
#[tokio::test]
async fn comments_stand_in_nested_rules_too() {
    let five = json!({ "Variable": "$.v", "NumericEquals": 5, "Comment": "five" });
    let and = json!({ "And": [five, { "Not": { "Comment": "no six", "Variable": "$.v", "NumericEquals": 6 } }], "Comment": "both" });
    assert_eq!(holds(&and, &json!({ "v": 5 })).await, Ok(true));
}

/// If no rule matches and there is no Default, the execution ends with States.Runtime (recorded), which no Catch stops:
/// not with States.NoChoiceMatched, as concepts-error-handling.html has it.
#[tokio::test]
async fn no_match_and_no_default_is_a_runtime_error() {
    let machine = json!({ "StartAt": "Choose", "States": {
        "Choose": { "Type": "Choice", "Choices": [{ "Variable": "$.v", "NumericEquals": 5, "Next": "Yes" }] },
        "Yes": { "Type": "Succeed" },
    } });
    let end = Cloud::new().run(&machine, &json!({ "v": 6 })).await;
    assert_eq!((end.status, end.error()), (Status::Failed, "States.Runtime"));
    assert_eq!(
        end.cause(),
        "An error occurred while executing the state 'Choose' (entered at the event id #2). Failed to transition out \
         of the state. The state does not point to a next state."
    );
    assert_eq!(end.last(), "3<2 ExecutionFailed");
}
