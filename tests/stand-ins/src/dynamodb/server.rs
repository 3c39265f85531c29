//! Requests in and answers out.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::policy::Context;
use local_aws::server::Service;
use serde_json::{Value, json};

use super::DynamoDb;
use super::error::{self, Result};
use super::requests::Call;
use super::table::Now;
use super::value::Item;
use crate::json::{Asked, answer};

#[async_trait]
impl Service for DynamoDb {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let table = |_: &str, body: &Value| self.arn(body["TableName"].as_str().unwrap_or_default());
        answer(&self.around, "dynamodb", request, table, |asked| self.perform(asked)).await
    }
}

impl DynamoDb {
    async fn perform(&self, asked: Asked) -> Result<Value> {
        let call = Call::parse(&asked)?;
        asked.may(&Context::new()).await?;
        let upstream = &self.around.upstream;
        let now = Now { time: upstream.clock.now(), random: &upstream.random };
        let mut tables = self.tables();
        let table = tables.get_mut(call.table()).ok_or_else(error::no_table)?;
        Ok(match call {
            Call::Get(call) => named("Item", table.get(&call, now)?),
            Call::Scan(call) => {
                let items = table.scan(call, now)?;
                json!({ "Count": items.len(), "ScannedCount": items.len(), "Items": items })
            }
            Call::Put(call) => named("Attributes", table.put(call, now)?),
            Call::Update(call) => named("Attributes", table.update(call, now)?),
        })
    }
}

fn named(name: &str, item: Option<Item>) -> Value {
    item.map_or_else(|| json!({}), |item| json!({ name: item }))
}
