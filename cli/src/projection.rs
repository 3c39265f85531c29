//! Which attributes of an item of the `Jobs` table are read: those that are named and no other, since an item also has the
//! task token.

use std::collections::HashMap;

/// The expression that asks for `attributes`, and what stands for what in it: some are words that DynamoDB reserves.
pub fn projection(attributes: &[&str]) -> (String, HashMap<String, String>) {
    let placeholder = |name: &&str| format!("#{name}");
    let expression = attributes.iter().map(placeholder).collect::<Vec<_>>().join(", ");
    (expression, attributes.iter().map(|name| (placeholder(name), (*name).to_owned())).collect())
}
