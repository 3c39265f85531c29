//! A function's settings: environment variables that the template sets.

use std::fmt::Display;
use std::str::FromStr;

/// Reads the variable `name`.
///
/// # Errors
/// When it is absent or cannot be read as `T`; the message names the variable.
pub fn setting<T>(name: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    let value = std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?;
    value.parse().map_err(|error| format!("the environment variable {name} is {value:?}: {error}"))
}

/// Reads the variable `name` as a list of words between commas; empty where it is empty.
///
/// # Errors
/// When it is absent.
pub fn list_setting(name: &str) -> Result<Vec<String>, String> {
    let value: String = setting(name)?;
    Ok(value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}
