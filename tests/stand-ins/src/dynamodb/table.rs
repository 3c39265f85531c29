//! A table: its items, as they are and as they were a moment ago.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use local_aws::random::Random;

use super::error::{self, Result};
use super::expression::{Condition, Given, Update};
use super::requests::{GetItem, PutItem, ReturnValues, Scan, UpdateItem};
use super::value::{Item, Value, size};

/// The largest item, in bytes.
/// Source: DynamoDB developer guide, "Constraints in Amazon DynamoDB", item size.
const ITEM_LIMIT: usize = 400 * 1024;

/// The longest partition key, in bytes.
/// Source: the same, partition keys.
const KEY_LIMIT: usize = 2048;

/// How far an eventually consistent read may be behind. "If you repeat your read request after a short time, the response
/// should eventually return the more recent item" (developer guide, "DynamoDB read consistency"): how short is a guess.
const STALE: Duration = Duration::from_secs(1);

/// How late an item may go after it has expired, in seconds. "DynamoDB typically deletes expired items within two days of
/// expiration" (API Reference, `UpdateTimeToLive`).
const EXPIRY_LATENESS: i64 = 2 * 24 * 60 * 60;

/// Who has expired before more than this is not deleted.
/// Source: DynamoDB developer guide, "Using time to live (TTL) in DynamoDB".
const EXPIRY_TOO_OLD: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);

/// A table whose partition key is a text, without a sort key.
#[derive(Debug)]
pub struct Table {
    key: String,
    ttl_attribute: String,
    /// By key; the versions of an item that can still be read, the oldest first.
    items: BTreeMap<String, Vec<Version>>,
}

/// An item as it was written at some time.
#[derive(Debug)]
struct Version {
    since: Timestamp,
    item: Item,
    /// When it goes, if it does not change before.
    gone: Option<Timestamp>,
}

/// The moment of a call, and what is drawn in it.
#[derive(Clone, Copy)]
pub struct Now<'a> {
    pub time: Timestamp,
    pub random: &'a Random,
}

impl Table {
    pub fn new(key: &str, ttl_attribute: &str) -> Self {
        Self { key: key.to_owned(), ttl_attribute: ttl_attribute.to_owned(), items: BTreeMap::new() }
    }

    /// All items as they are at `time`.
    pub fn items(&self, time: Timestamp) -> BTreeMap<String, Item> {
        let keys = self.items.keys();
        keys.filter_map(|key| Some((key.clone(), self.version(key, time)?.item.clone()))).collect()
    }

    pub fn get(&self, call: &GetItem, now: Now<'_>) -> Result<Option<Item>> {
        let key = self.key(&call.key)?;
        let lag =
            if call.consistent_read { Duration::ZERO } else { now.random.range(Duration::ZERO..=STALE) };
        Ok(self.version(key, now.time - lag).map(|version| version.item.clone()))
    }

    /// The items that the filter holds for, with what is wanted of them: top-level attributes behind placeholders.
    /// Source: DynamoDB API Reference, `Scan`.
    pub fn scan(&self, call: Scan, now: Now<'_>) -> Result<Vec<Item>> {
        if !call.consistent_read {
            return Err(error::unsupported("a scan that may see an older state"));
        }
        let names = call.expression_attribute_names;
        let wanted = call.projection_expression.split(',').map(|name| names.get(name.trim()).cloned());
        let wanted: Option<Vec<String>> = wanted.collect();
        let wanted = wanted.ok_or_else(|| error::unsupported("a projection without placeholders"))?;
        let mut given = Given::new(names, Item::new());
        let filter = Condition::parse(&call.filter_expression, &mut given)?;
        let items = self.items(now.time).into_values().filter(|item| filter.holds(item));
        let of_item = |item: Item| item.into_iter().filter(|(name, _)| wanted.contains(name)).collect();
        Ok(items.map(of_item).collect())
    }

    /// Writes the item as a whole; returns what was asked for of it.
    pub fn put(&mut self, mut call: PutItem, now: Now<'_>) -> Result<Option<Item>> {
        if call.write.return_values == ReturnValues::AllNew {
            return Err(error::invalid("ReturnValues can only be ALL_OLD or NONE"));
        }
        let key = self.key_of(&call.item)?.to_owned();
        let mut given = call.write.given();
        let condition = call.write.condition_expression.as_deref();
        let condition = condition.map(|text| Condition::parse(text, &mut given)).transpose()?;
        given.check_all_used()?;
        if size(&call.item) > ITEM_LIMIT {
            return Err(error::invalid("Item size has exceeded the maximum allowed size"));
        }
        let old = self.version(&key, now.time).map(|version| version.item.clone());
        check(condition.as_ref(), old.as_ref(), call.write.return_values_on_condition_check_failure)?;
        self.write(key, call.item, now);
        Ok(old.filter(|_| call.write.return_values == ReturnValues::AllOld))
    }

    /// Changes the item, or makes it; returns what was asked for of it.
    pub fn update(&mut self, mut call: UpdateItem, now: Now<'_>) -> Result<Option<Item>> {
        let key = self.key(&call.key)?.to_owned();
        let mut given = call.write.given();
        let update = Update::parse(&call.update_expression, &mut given)?;
        let condition = call.write.condition_expression.as_deref();
        let condition = condition.map(|text| Condition::parse(text, &mut given)).transpose()?;
        given.check_all_used()?;
        if update.names().any(|name| *name == self.key) {
            return Err(error::invalid(format!(
                "One or more parameter values were invalid: Cannot update attribute {}. This attribute is part of the key",
                self.key
            )));
        }
        let old = self.version(&key, now.time).map(|version| version.item.clone());
        check(condition.as_ref(), old.as_ref(), call.write.return_values_on_condition_check_failure)?;
        if old.is_none() && update.only_removes() {
            return Err(error::unsupported("an update that only takes away from an item that is absent"));
        }
        let new = update.apply(old.as_ref().unwrap_or(&call.key))?;
        if size(&new) > ITEM_LIMIT {
            return Err(error::invalid("Item size to update has exceeded the maximum allowed size"));
        }
        self.write(key, new.clone(), now);
        Ok(match call.write.return_values {
            ReturnValues::None => None,
            ReturnValues::AllOld => old,
            ReturnValues::AllNew => Some(new),
        })
    }

    /// The value of the key in a call's `Key`, which has nothing else.
    fn key<'a>(&self, key: &'a Item) -> Result<&'a str> {
        match key.get(&self.key) {
            Some(Value::Text(text)) if key.len() == 1 => self.checked(text),
            _ => Err(error::invalid("The provided key element does not match the schema")),
        }
    }

    /// The value of the key in an item.
    fn key_of<'a>(&self, item: &'a Item) -> Result<&'a str> {
        let wrong = match item.get(&self.key) {
            Some(Value::Text(text)) => return self.checked(text),
            Some(other) => format!("Type mismatch for key {} expected: S actual: {}", self.key, other.kind()),
            None => format!("Missing the key {} in the item", self.key),
        };
        Err(error::invalid(format!("One or more parameter values were invalid: {wrong}")))
    }

    fn checked<'a>(&self, text: &'a str) -> Result<&'a str> {
        match text.len() {
            0 => Err(error::invalid(format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
                 empty string value. Key: {}",
                self.key
            ))),
            1..=KEY_LIMIT => Ok(text),
            _ => Err(error::invalid(format!(
                "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of \
                 {KEY_LIMIT} bytes"
            ))),
        }
    }

    fn version(&self, key: &str, time: Timestamp) -> Option<&Version> {
        let versions = self.items.get(key)?;
        let last = versions.iter().rfind(|version| version.since <= time)?;
        (last.gone.is_none_or(|gone| gone > time)).then_some(last)
    }

    fn write(&mut self, key: String, item: Item, now: Now<'_>) {
        let known = self.version(&key, now.time);
        let gone = match known {
            Some(known) if known.item.get(&self.ttl_attribute) == item.get(&self.ttl_attribute) => known.gone,
            _ => self.gone(&item, now),
        };
        let versions = self.items.entry(key).or_default();
        // What no read can be so far behind as to see.
        let unread = versions.iter().rposition(|version| version.since <= now.time - STALE).unwrap_or(0);
        versions.drain(..unread);
        versions.push(Version { since: now.time, item, gone });
    }

    /// When an item that is written now goes; never, unless its time to live is a number.
    fn gone(&self, item: &Item, now: Now<'_>) -> Option<Timestamp> {
        let Value::Number(seconds) = item.get(&self.ttl_attribute)? else { return None };
        let expiry = Timestamp::from_second(i64::try_from(seconds.get()).ok()?).ok()?;
        let is_too_old = now.time.duration_since(expiry) > EXPIRY_TOO_OLD;
        let late = SignedDuration::from_secs(now.random.range(0..=EXPIRY_LATENESS));
        expiry.max(now.time).checked_add(late).ok().filter(|_| !is_too_old)
    }
}

fn check(condition: Option<&Condition>, item: Option<&Item>, wanted: ReturnValues) -> Result<()> {
    let absent = Item::new();
    if condition.is_none_or(|condition| condition.holds(item.unwrap_or(&absent))) {
        return Ok(());
    }
    Err(match wanted {
        ReturnValues::None => error::condition_failed(None),
        ReturnValues::AllOld => error::condition_failed(item),
        ReturnValues::AllNew => {
            error::unsupported("ALL_NEW as what to return of an item that a condition does not hold for")
        }
    })
}
