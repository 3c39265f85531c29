//! Intrinsic functions, `States.Format('{}', $.name)` and its like.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local_aws::random::Random;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::fault::Fault;
use super::path::{Data, Path};

/// The longest text that Base64Encode, Base64Decode and Hash take ("Intrinsics for encoding and decoding data").
const MAX_TEXT: usize = 10_000;
/// The most elements of States.ArrayRange ("Intrinsics for arrays").
const MAX_RANGE: usize = 1_000;

/// One call as it stands in a definition.
#[derive(Clone, Debug)]
pub struct Call {
    text: String,
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Clone, Debug)]
enum Argument {
    Literal(Value),
    Path(Path),
    Call(Call),
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    MathRandom,
    StringSplit,
    StringToJson,
    Uuid,
}

impl Function {
    /// The function of this name and how many arguments it takes; nothing said means any number.
    fn named(name: &str) -> Result<(Self, Option<usize>), String> {
        Ok(match name {
            "States.Array" => (Self::Array, None),
            "States.ArrayContains" => (Self::ArrayContains, Some(2)),
            "States.ArrayGetItem" => (Self::ArrayGetItem, Some(2)),
            "States.ArrayLength" => (Self::ArrayLength, Some(1)),
            "States.ArrayPartition" => (Self::ArrayPartition, Some(2)),
            "States.ArrayRange" => (Self::ArrayRange, Some(3)),
            "States.ArrayUnique" => (Self::ArrayUnique, Some(1)),
            "States.Base64Decode" => (Self::Base64Decode, Some(1)),
            "States.Base64Encode" => (Self::Base64Encode, Some(1)),
            "States.Format" => (Self::Format, None),
            "States.Hash" => (Self::Hash, Some(2)),
            "States.JsonMerge" => (Self::JsonMerge, Some(3)),
            "States.JsonToString" => (Self::JsonToString, Some(1)),
            "States.MathAdd" => (Self::MathAdd, Some(2)),
            // A third argument is a seed; the numbers AWS draws from it are not published, so it is refused.
            "States.MathRandom" => (Self::MathRandom, Some(2)),
            "States.StringSplit" => (Self::StringSplit, Some(2)),
            "States.StringToJson" => (Self::StringToJson, Some(1)),
            "States.UUID" => (Self::Uuid, Some(0)),
            other => return Err(format!("there is no intrinsic function '{other}'")),
        })
    }
}

impl Call {
    /// Reads a call.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (call, rest) = Self::parse_prefix(text)?;
        if rest.trim().is_empty() {
            Ok(call)
        } else {
            Err(format!("'{rest}' follows the end of '{}'", call.text))
        }
    }

    fn parse_prefix(text: &str) -> Result<(Self, &str), String> {
        let (name, mut rest) =
            text.split_once('(').ok_or_else(|| format!("'{text}' is not a call of an intrinsic function"))?;
        let (function, count) = Function::named(name)?;
        let mut arguments = Vec::new();
        rest = rest.trim_start();
        while !rest.starts_with(')') {
            let argument;
            (argument, rest) = Argument::parse_prefix(rest)?;
            arguments.push(argument);
            rest = rest.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after.trim_start(),
                None if rest.starts_with(')') => {}
                None => return Err(format!("',' or ')' is missing before '{rest}' in '{text}'")),
            }
        }
        rest = &rest[1..];
        if count.is_some_and(|count| count != arguments.len())
            || (matches!(function, Function::Format) && arguments.is_empty())
        {
            return Err(format!("{name} is not supported with {} arguments", arguments.len()));
        }
        // What is not supported is refused before anything runs, so the algorithm must be known by then.
        if let (Function::Hash, [_, algorithm]) = (function, arguments.as_slice()) {
            match algorithm {
                Argument::Literal(algorithm) => string(algorithm).and_then(hasher)?,
                _ => return Err(format!("{name} is supported only with an algorithm in quotes")),
            };
        }
        let text = text[..text.len() - rest.len()].to_owned();
        Ok((Self { text, function, arguments }, rest))
    }

    /// What the call gives for `data`.
    pub fn value(&self, data: Data<'_>) -> Result<Value, Fault> {
        let arguments = self
            .arguments
            .iter()
            .map(|argument| argument.value(self, data))
            .collect::<Result<Vec<_>, _>>()?;
        evaluate(self.function, &arguments, data.random).map_err(|reason| self.fault(&reason))
    }

    fn fault(&self, reason: &str) -> Fault {
        Fault::intrinsic(format!("The function '{}' had the following error: {reason}", self.text))
    }
}

impl Argument {
    fn parse_prefix(text: &str) -> Result<(Self, &str), String> {
        if text.starts_with("States.") {
            return Call::parse_prefix(text).map(|(call, rest)| (Self::Call(call), rest));
        }
        if let Some(after) = text.strip_prefix('\'') {
            return string_prefix(after).map(|(string, rest)| (Self::Literal(string.into()), rest));
        }
        // A comma or a bracket inside a path's own brackets does not end the argument.
        let mut depth = 0_usize;
        let end = text
            .find(|c| {
                match c {
                    '[' | '(' => depth += 1,
                    ']' => depth = depth.saturating_sub(1),
                    ')' if depth > 0 => depth -= 1,
                    _ => {}
                }
                depth == 0 && (c == ',' || c == ')')
            })
            .ok_or_else(|| format!("')' is missing after '{text}'"))?;
        let (token, rest) = text.split_at(end);
        let token = token.trim();
        let argument = if token.starts_with('$') {
            Self::Path(Path::parse(token)?)
        } else {
            match serde_json::from_str(token) {
                Ok(literal @ (Value::Null | Value::Bool(_) | Value::Number(_))) => Self::Literal(literal),
                _ => return Err(format!("'{token}' is not an argument: strings are in single quotes")),
            }
        };
        Ok((argument, rest))
    }

    fn value(&self, call: &Call, data: Data<'_>) -> Result<Value, Fault> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Call(inner) => inner.value(data),
            Self::Path(path) => path.find(data).ok_or_else(|| {
                Fault::runtime(format!(
                    "The function '{}' had the following error: The JsonPath argument for the field '{}' could not \
                     be found in the input '{}'",
                    call.text,
                    path.text(),
                    data.input
                ))
            }),
        }
    }
}

/// The string that ends at the first quote without a backslash, and what follows. `\'`, `\\`, `\{` and `\}` are the
/// escapes; the two of braces stay for States.Format to read.
fn string_prefix(text: &str) -> Result<(String, &str), String> {
    let mut string = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((string, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ('\'' | '\\'))) => string.push(escaped),
                Some((_, brace @ ('{' | '}'))) => string.extend(['\\', brace]),
                _ => return Err(format!("'{text}' has a backslash that escapes nothing")),
            },
            other => string.push(other),
        }
    }
    Err(format!("the string '{text} has no closing quote"))
}

/// The function's own rules; `Err` is the reason in a sentence.
fn evaluate(function: Function, arguments: &[Value], random: &Random) -> Result<Value, String> {
    Ok(match (function, arguments) {
        (Function::Array, items) => items.into(),
        (Function::ArrayContains, [items, item]) => array(items)?.contains(item).into(),
        (Function::ArrayGetItem, [items, index]) => {
            let index = usize::try_from(integer(index)?).map_err(|_| "an index must not be negative")?;
            array(items)?.get(index).cloned().ok_or_else(|| format!("there is no element {index}"))?
        }
        (Function::ArrayLength, [items]) => array(items)?.len().into(),
        (Function::ArrayPartition, [items, size]) => {
            let size = usize::try_from(integer(size)?).ok().filter(|size| *size > 0);
            array(items)?.chunks(size.ok_or("the size of a part must be positive")?).collect()
        }
        (Function::ArrayRange, [first, last, step]) => {
            range(integer(first)?, integer(last)?, integer(step)?)?
        }
        (Function::ArrayUnique, [items]) => {
            let mut unique: Vec<Value> = Vec::new();
            for item in array(items)? {
                if !unique.contains(item) {
                    unique.push(item.clone());
                }
            }
            unique.into()
        }
        (Function::Base64Decode, [text]) => {
            let bytes = STANDARD.decode(short(text)?).map_err(|error| error.to_string())?;
            String::from_utf8(bytes).map_err(|error| error.to_string())?.into()
        }
        (Function::Base64Encode, [text]) => STANDARD.encode(short(text)?).into(),
        (Function::Format, [template, values @ ..]) => format(string(template)?, values)?.into(),
        (Function::Hash, [data, algorithm]) => hash(data, hasher(string(algorithm)?)?)?.into(),
        (Function::JsonMerge, [left, right, deep]) => {
            // "Currently … States.JsonMerge supports only the shallow merging mode".
            if *deep != json!(false) {
                return Err("the third argument must be false".into());
            }
            let mut merged = left.as_object().ok_or("the first argument is not an object")?.clone();
            merged.extend(right.as_object().ok_or("the second argument is not an object")?.clone());
            merged.into()
        }
        (Function::JsonToString, [value]) => value.to_string().into(),
        (Function::MathAdd, [left, right]) => {
            let sum = integer(left)?.checked_add(integer(right)?);
            sum.and_then(|sum| i32::try_from(sum).ok()).ok_or("the sum is not an integer of 32 bits")?.into()
        }
        (Function::MathRandom, [start, end]) => {
            let (start, end) = (integer(start)?, integer(end)?);
            if start >= end {
                return Err("the start must be below the end".into());
            }
            random.range(start..end).into()
        }
        (Function::StringSplit, [text, separators]) => {
            let separators = string(separators)?;
            string(text)?.split(|c| separators.contains(c)).filter(|part| !part.is_empty()).collect()
        }
        // Of an empty text and of blanks it is null (recorded).
        (Function::StringToJson, [text]) => match string(text)?.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?,
        },
        (Function::Uuid, _) => random.uuid().to_string().into(),
        _ => return Err(format!("it does not take {} arguments", arguments.len())),
    })
}

fn string(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is not a string"))
}

fn short(value: &Value) -> Result<&str, String> {
    string(value).and_then(|text| {
        if text.chars().count() > MAX_TEXT {
            Err(format!("more than {MAX_TEXT} characters"))
        } else {
            Ok(text)
        }
    })
}

fn array(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{value} is not an array"))
}

/// A whole number; "if you specify a non-integer value …, Step Functions will round it off to the nearest integer", a
/// half upwards: -1.5 is -1 (recorded).
fn integer(value: &Value) -> Result<i64, String> {
    let half_up = |number: f64| if number - number.floor() < 0.5 { number.floor() } else { number.ceil() };
    let rounded = value.as_f64().map(half_up).filter(|number| number.abs() <= f64::from(i32::MAX) + 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "the number is whole and fits 32 bits and a sign")]
    rounded.map(|number| number as i64).ok_or_else(|| format!("{value} is not an integer of 32 bits"))
}

fn range(first: i64, last: i64, step: i64) -> Result<Value, String> {
    let size =
        usize::try_from(step.unsigned_abs()).ok().filter(|size| *size > 0).ok_or("the step must not be 0")?;
    let numbers: Vec<Value> = if step > 0 {
        (first..=last).step_by(size).take(MAX_RANGE + 1).map(Value::from).collect()
    } else {
        (last..=first).rev().step_by(size).take(MAX_RANGE + 1).map(Value::from).collect()
    };
    if numbers.len() > MAX_RANGE {
        Err(format!("more than {MAX_RANGE} elements"))
    } else {
        Ok(numbers.into())
    }
}

fn format(template: &str, values: &[Value]) -> Result<String, String> {
    let mut values = values.iter();
    let mut text = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(&brace @ ('{' | '}'))) => {
                text.push(brace);
                chars.next();
            }
            ('{', Some('}')) => {
                chars.next();
                text.push_str(&printed(values.next().ok_or("there are more '{}' than arguments")?));
            }
            ('{' | '}', _) => return Err(format!("a single brace in '{template}' needs a backslash")),
            _ => text.push(c),
        }
    }
    if values.next().is_some() { Err("there are more arguments than '{}'".into()) } else { Ok(text) }
}

/// A value as Format prints it: not as JSON but as Java does, `{Arg1=1, Arg2=[]}` (recorded).
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}={}", printed(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A digest in hexadecimal digits.
type Hasher = fn(&str) -> String;

/// AWS knows MD5 and SHA-1 as well; no machine here should.
fn hasher(algorithm: &str) -> Result<Hasher, String> {
    Ok(match algorithm {
        "SHA-256" => |text| hex::encode(Sha256::digest(text)),
        "SHA-384" => |text| hex::encode(Sha384::digest(text)),
        "SHA-512" => |text| hex::encode(Sha512::digest(text)),
        other => {
            return Err(format!(
                "the algorithm '{other}' is not supported here, only SHA-256, SHA-384 and SHA-512"
            ));
        }
    })
}

fn hash(data: &Value, hasher: Hasher) -> Result<String, String> {
    match data {
        Value::String(_) => short(data).map(hasher),
        other => short(&Value::from(other.to_string())).map(hasher),
    }
}
