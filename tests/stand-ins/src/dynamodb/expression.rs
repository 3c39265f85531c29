//! Condition and update expressions: of the grammar in the developer guide ("Condition and filter expressions, operators,
//! and functions in DynamoDB", "Using update expressions in DynamoDB") what is on top-level attributes, behind placeholders,
//! and of one meaning. `<>` is not: the guide does not say what it is of an attribute that is absent.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::error::{self, Result};
use super::value::{Item, Value};
use crate::json::Refused;

/// The longest expression, in bytes.
/// Source: DynamoDB developer guide, "Constraints in Amazon DynamoDB", expression parameters.
const LIMIT: usize = 4096;

/// The names of the product's attributes that are also words of DynamoDB's own.
/// Source: DynamoDB developer guide, "Reserved words in DynamoDB".
const RESERVED: [&str; 6] = ["capacity", "end", "result", "start", "token", "ttl"];

/// What the placeholders of a call's expressions stand for, and which have been met.
#[derive(Debug)]
pub struct Given {
    names: BTreeMap<String, String>,
    values: Item,
    used: BTreeSet<String>,
}

/// A condition on an item.
#[derive(Debug)]
pub enum Condition {
    Exists(String),
    NotExists(String),
    Compare(Operand, Comparator, Operand),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

/// What it holds for, and whether operands must have an order.
#[derive(Debug)]
pub struct Comparator(fn(Ordering) -> bool, bool);

/// An attribute, or a value of the call's own.
#[derive(Debug)]
pub enum Operand {
    Attribute(String),
    Value(Value),
}

/// Changes of an item.
#[derive(Debug, Default)]
pub struct Update {
    set: Vec<(String, New)>,
    remove: Vec<String>,
    add: Vec<(String, Value)>,
}

/// What an attribute is set to.
#[derive(Debug)]
enum New {
    Operand(Operand),
    IfNotExists(String, Operand),
}

impl Given {
    pub fn new(names: BTreeMap<String, String>, values: Item) -> Self {
        Self { names, values, used: BTreeSet::new() }
    }

    /// Refuses a placeholder that is in no expression.
    pub fn check_all_used(&self) -> Result<()> {
        let unused = |placeholder: &&String| !self.used.contains(*placeholder);
        if let Some(name) = self.names.keys().find(unused) {
            let message =
                format!("Value provided in ExpressionAttributeNames unused in expressions: keys: {{{name}}}");
            return Err(error::invalid(message));
        }
        if let Some(value) = self.values.keys().find(unused) {
            let message = format!(
                "Value provided in ExpressionAttributeValues unused in expressions: keys: {{{value}}}"
            );
            return Err(error::invalid(message));
        }
        Ok(())
    }
}

impl Condition {
    pub fn parse(expression: &str, given: &mut Given) -> Result<Self> {
        let mut parser = Parser::new("ConditionExpression", expression, given)?;
        let condition = parser.any()?;
        if parser.peek().is_empty() { Ok(condition) } else { Err(parser.unexpected()) }
    }

    /// Whether it holds for `item`; one that is absent has no attributes.
    ///
    /// Values of two types are neither equal nor in an order. That an attribute which is absent compares with nothing is a
    /// guess, since the guide does not say.
    pub fn holds(&self, item: &Item) -> bool {
        match self {
            Self::Exists(name) => item.contains_key(name),
            Self::NotExists(name) => !item.contains_key(name),
            Self::Compare(one, Comparator(holds, _), other) => {
                let ordering = one.of(item).zip(other.of(item)).and_then(|(one, other)| compare(one, other));
                ordering.is_some_and(holds)
            }
            Self::Not(condition) => !condition.holds(item),
            Self::And(one, other) => one.holds(item) && other.holds(item),
            Self::Or(one, other) => one.holds(item) || other.holds(item),
        }
    }
}

/// Texts go by their bytes in UTF-8. What has no order is equal, or nothing.
/// Source: DynamoDB API Reference, `Condition`, comparisons.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => Some(one.as_bytes().cmp(other.as_bytes())),
        (Value::Number(one), Value::Number(other)) => Some(one.cmp(other)),
        (one, other) => (one == other).then_some(Ordering::Equal),
    }
}

impl Operand {
    fn of<'a>(&'a self, item: &'a Item) -> Option<&'a Value> {
        match self {
            Self::Attribute(name) => item.get(name),
            Self::Value(value) => Some(value),
        }
    }

    fn existing(&self, item: &Item) -> Result<Value> {
        let absent = "The provided expression refers to an attribute that does not exist in the item";
        self.of(item).cloned().ok_or_else(|| error::invalid(absent))
    }
}

impl Update {
    pub fn parse(expression: &str, given: &mut Given) -> Result<Self> {
        let mut parser = Parser::new("UpdateExpression", expression, given)?;
        let mut update = Self::default();
        let mut clauses = BTreeSet::new();
        while clauses.is_empty() || !parser.peek().is_empty() {
            let clause = parser.peek().to_ascii_uppercase();
            if !matches!(clause.as_str(), "SET" | "REMOVE" | "ADD") {
                return Err(parser.unexpected());
            }
            parser.next();
            if clauses.contains(&clause) {
                let message =
                    format!("The \"{clause}\" section can only be used once in an update expression;");
                return Err(parser.invalid(message));
            }
            loop {
                let name = parser.name()?;
                match clause.as_str() {
                    "SET" => update.set.push((name, parser.new_value()?)),
                    "REMOVE" => update.remove.push(name),
                    _ => update.add.push((name, parser.value()?)),
                }
                if !parser.take(",") {
                    break;
                }
            }
            clauses.insert(clause);
        }
        update.check_paths(&parser)?;
        Ok(update)
    }

    fn check_paths(&self, parser: &Parser<'_>) -> Result<()> {
        let mut seen = BTreeSet::new();
        for name in self.names() {
            if !seen.insert(name) {
                let message = format!(
                    "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: \
                     [{name}], path two: [{name}]"
                );
                return Err(parser.invalid(message));
            }
        }
        Ok(())
    }

    /// The attributes that it changes.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        let (set, add) = (self.set.iter().map(|(name, _)| name), self.add.iter().map(|(name, _)| name));
        set.chain(&self.remove).chain(add)
    }

    /// Whether it does nothing but take attributes away.
    pub fn only_removes(&self) -> bool {
        self.set.is_empty() && self.add.is_empty()
    }

    /// `item` as it is afterwards. Every value is read before the first is written (developer guide, "Using update
    /// expressions in DynamoDB", "Using multiple update expressions").
    pub fn apply(&self, item: &Item) -> Result<Item> {
        let mut changed = item.clone();
        for name in &self.remove {
            changed.remove(name);
        }
        for (name, new) in &self.set {
            let value = match new {
                New::Operand(operand) => operand.existing(item)?,
                New::IfNotExists(present, operand) => match item.get(present) {
                    Some(value) => value.clone(),
                    None => operand.existing(item)?,
                },
            };
            changed.insert(name.clone(), value);
        }
        for (name, more) in &self.add {
            let sum = match item.get(name) {
                None => more.clone(),
                Some(known) => add(known, more)?,
            };
            changed.insert(name.clone(), sum);
        }
        Ok(changed)
    }
}

fn add(known: &Value, more: &Value) -> Result<Value> {
    match (known, more) {
        (Value::Number(known), Value::Number(more)) => {
            let sum = known.plus(*more).map(Value::Number);
            sum.ok_or_else(|| error::unsupported("a sum of more than 38 digits"))
        }
        (Value::Texts(known), Value::Texts(more)) => Ok(Value::Texts(known.with(more))),
        _ => Err(error::invalid("An operand in the update expression has an incorrect data type")),
    }
}

/// What is left of an expression.
struct Parser<'a> {
    /// The parameter that the expression is.
    parameter: &'static str,
    tokens: std::iter::Peekable<std::vec::IntoIter<&'a str>>,
    given: &'a mut Given,
}

impl<'a> Parser<'a> {
    fn new(parameter: &'static str, expression: &'a str, given: &'a mut Given) -> Result<Self> {
        if expression.len() > LIMIT {
            let message = format!(
                "Invalid {parameter}: Expression size has exceeded the maximum allowed size; expression size: {}",
                expression.len()
            );
            return Err(error::invalid(message));
        }
        Ok(Self { parameter, tokens: tokens(expression)?.into_iter().peekable(), given })
    }

    fn invalid(&self, message: impl Display) -> Refused {
        error::invalid(format!("Invalid {}: {message}", self.parameter))
    }

    /// Of what the grammar has not, or this part of it.
    fn unexpected(&mut self) -> Refused {
        error::unsupported(format!("{:?} at this place of the {}", self.peek(), self.parameter))
    }

    /// The next token, empty at the end.
    fn peek(&mut self) -> &'a str {
        self.tokens.peek().copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'a str {
        self.tokens.next().unwrap_or_default()
    }

    /// Takes `token`, a sign or a keyword, if it is the next. Keywords are written in either case.
    fn take(&mut self, token: &str) -> bool {
        self.tokens.next_if(|next| next.eq_ignore_ascii_case(token)).is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Comparisons bind closest, then NOT, AND, OR (the guide, "Precedence in conditions").
    fn any(&mut self) -> Result<Condition> {
        let mut condition = self.all()?;
        while self.take("OR") {
            condition = Condition::Or(Box::new(condition), Box::new(self.all()?));
        }
        Ok(condition)
    }

    fn all(&mut self) -> Result<Condition> {
        let mut condition = self.one()?;
        while self.take("AND") {
            condition = Condition::And(Box::new(condition), Box::new(self.one()?));
        }
        Ok(condition)
    }

    fn one(&mut self) -> Result<Condition> {
        if self.take("NOT") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let condition = self.any()?;
            self.expect(")")?;
            return Ok(condition);
        }
        // The names of functions are written in this case alone.
        match self.peek() {
            "attribute_exists" => Ok(Condition::Exists(self.argument()?)),
            "attribute_not_exists" => Ok(Condition::NotExists(self.argument()?)),
            _ => self.comparison(),
        }
    }

    fn argument(&mut self) -> Result<String> {
        self.next();
        self.expect("(")?;
        let name = self.name()?;
        self.expect(")")?;
        Ok(name)
    }

    fn comparison(&mut self) -> Result<Condition> {
        let one = self.operand()?;
        let sign = self.peek();
        let comparator = match sign {
            "=" => Comparator(Ordering::is_eq, false),
            "<" => Comparator(Ordering::is_lt, true),
            "<=" => Comparator(Ordering::is_le, true),
            ">" => Comparator(Ordering::is_gt, true),
            ">=" => Comparator(Ordering::is_ge, true),
            _ => return Err(self.unexpected()),
        };
        self.next();
        let other = self.operand()?;
        for operand in [&one, &other] {
            if let (Operand::Value(value @ (Value::Bool(_) | Value::Texts(_))), Comparator(_, true)) =
                (operand, &comparator)
            {
                return Err(self.wrong_type(sign, value));
            }
        }
        Ok(Condition::Compare(one, comparator, other))
    }

    fn wrong_type(&self, operator: &str, value: &Value) -> Refused {
        let kind = value.kind();
        self.invalid(format!(
            "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"
        ))
    }

    fn operand(&mut self) -> Result<Operand> {
        if self.peek().starts_with(':') {
            return self.placed().map(Operand::Value);
        }
        self.name().map(Operand::Attribute)
    }

    /// The new value in `SET path = value`.
    fn new_value(&mut self) -> Result<New> {
        self.expect("=")?;
        if self.peek() != "if_not_exists" {
            return self.operand().map(New::Operand);
        }
        self.next();
        self.expect("(")?;
        let name = self.name()?;
        self.expect(",")?;
        let operand = self.operand()?;
        self.expect(")")?;
        Ok(New::IfNotExists(name, operand))
    }

    /// The value in `ADD path value`: a number or a set (the guide, "ADD — updating numbers and sets").
    fn value(&mut self) -> Result<Value> {
        match self.placed()? {
            value @ (Value::Number(_) | Value::Texts(_)) => Ok(value),
            value => Err(self.wrong_type("ADD", &value)),
        }
    }

    /// The value behind the placeholder that is next.
    fn placed(&mut self) -> Result<Value> {
        let placeholder = self.peek();
        if !placeholder.starts_with(':') {
            return Err(self.unexpected());
        }
        self.next();
        self.given.used.insert(placeholder.to_owned());
        self.given.values.get(placeholder).cloned().ok_or_else(|| {
            self.invalid(format!(
                "An expression attribute value used in expression is not defined; attribute value: {placeholder}"
            ))
        })
    }

    /// The attribute behind the placeholder that is next.
    fn name(&mut self) -> Result<String> {
        let placeholder = self.peek();
        if RESERVED.contains(&placeholder.to_ascii_lowercase().as_str()) {
            return Err(self
                .invalid(format!("Attribute name is a reserved keyword; reserved keyword: {placeholder}")));
        }
        if !placeholder.starts_with('#') {
            return Err(self.unexpected());
        }
        self.next();
        self.given.used.insert(placeholder.to_owned());
        self.given.names.get(placeholder).cloned().ok_or_else(|| {
            self.invalid(format!(
                "An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
            ))
        })
    }
}

/// The words, placeholders and signs of an expression.
fn tokens(expression: &str) -> Result<Vec<&str>> {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = &rest[usize::from(matches!(first, '#' | ':'))..];
        let word = word.find(|c| !is_of_word(c)).unwrap_or(word.len());
        let length = match first {
            '#' | ':' if word > 0 => 1 + word,
            _ if word > 0 => word,
            '<' | '>' if rest[1..].starts_with(['=', '>']) => 2,
            '<' | '>' | '=' | '(' | ')' | ',' => 1,
            other => return Err(error::unsupported(format!("{other:?} in an expression"))),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}
