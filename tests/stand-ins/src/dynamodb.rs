//! DynamoDB as the `Jobs` table meets it: three calls on single items of tables whose key is one text. What it has and this
//! does not is refused as invalid, and said loudly.

mod error;
mod expression;
mod requests;
mod server;
mod table;
mod value;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use local_aws::upstream::Upstream;

use crate::json::Surroundings;
use table::Table;
pub use value::{Item, Number, Texts, Value};

/// The DynamoDB of one Region and account. Clones share one state.
#[derive(Clone, Debug)]
pub struct DynamoDb {
    around: Surroundings,
    tables: Arc<Mutex<BTreeMap<String, Table>>>,
}

impl DynamoDb {
    /// A DynamoDB without tables.
    pub fn new(around: Surroundings) -> Self {
        Self { around, tables: Arc::default() }
    }

    /// Makes the table `name`. Its partition key is the text `key`, it has no sort key; `ttl_attribute` is when an item
    /// expires, in seconds since 1970. Returns the table's ARN.
    ///
    /// # Panics
    /// If there is one of this name.
    pub fn make_table(&self, name: &str, key: &str, ttl_attribute: &str) -> String {
        let made = self.tables().insert(name.to_owned(), Table::new(key, ttl_attribute));
        assert!(made.is_none(), "there is a table {name}");
        self.arn(name)
    }

    /// The items of the table `name` as they are now, by their keys; none where there is no such table.
    pub fn items(&self, name: &str) -> BTreeMap<String, Item> {
        let now = self.around.upstream.clock.now();
        self.tables().get(name).map(|table| table.items(now)).unwrap_or_default()
    }

    fn arn(&self, table: &str) -> String {
        let Upstream { region, account, .. } = &self.around.upstream;
        format!("arn:aws:dynamodb:{region}:{account}:table/{table}")
    }

    fn tables(&self) -> MutexGuard<'_, BTreeMap<String, Table>> {
        self.tables.lock().expect("no thread panics while it holds the tables, but over one that is there")
    }
}

#[cfg(test)]
mod tests;
