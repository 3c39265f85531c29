//! The environment variables that Lambda and the template set.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// What the variable `name` says.
pub(crate) fn read<T>(variables: &BTreeMap<String, String>, name: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    let value = variables.get(name).ok_or_else(|| format!("the environment variable {name} is not set"))?;
    value.parse().map_err(|error| format!("the environment variable {name} is {value:?}: {error}"))
}
