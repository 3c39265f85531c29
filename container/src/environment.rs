//! Tells the variables of the worker from those of the command.
//!
//! The command's must not rule the worker: its libraries read proxies, certificates and credentials from the
//! environment. So register-task names the command's variables `MAYFLY_VAR_…`, and the worker begins by executing
//! itself again with those of the image renamed in the same way. What stays under its own name is the worker's, and
//! never the command's.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use mayfly_model::names::COMMAND_VARIABLE;

/// The variables that are the worker's.
const OWN: [&str; 20] = [
    // register-task's.
    "MAYFLY_DONE_QUEUE_URL",
    "MAYFLY_FOLDER",
    "MAYFLY_JOB",
    "MAYFLY_MAILBOX_URL",
    "MAYFLY_QUEUE_ENDPOINTS",
    "MAYFLY_STOP_TIMEOUT",
    "MAYFLY_USER",
    "MAYFLY_WORKING_DIRECTORY",
    // A local cloud's.
    "MAYFLY_CGROUP",
    "MAYFLY_ENDPOINT_URL",
    "MAYFLY_S3_ENDPOINT_URL",
    "MAYFLY_ONE_USER",
    // Fargate's; on a local cloud the credentials have a full URI.
    // Source: ECS developer guide, "Amazon ECS environment variables", "Amazon ECS task metadata endpoint", "Amazon ECS task
    // IAM role".
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_REGION",
    "ECS_AGENT_URI",
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
];

/// Executes this program again where its environment holds anything that is not the worker's; returns where it does not.
///
/// # Errors
/// When it cannot be executed.
pub fn set_apart() -> io::Result<()> {
    match sorted(env::vars_os().collect()) {
        // Not by its path, which a local build may have replaced meanwhile.
        Some(environment) => {
            let mut arguments = env::args_os();
            let mut again = Command::new("/proc/self/exe");
            if let Some(name) = arguments.next() {
                again.arg0(name);
            }
            Err(again.args(arguments).env_clear().envs(environment).exec())
        }
        None => Ok(()),
    }
}

/// The variables of the command.
pub fn of_command() -> BTreeMap<OsString, OsString> {
    env::vars_os().filter_map(|(name, value)| Some((commands_name(&name)?, value))).collect()
}

/// The environment with the command's variables renamed; none where they all are. One that has both names is the
/// document's under the longer.
fn sorted(mut environment: BTreeMap<OsString, OsString>) -> Option<BTreeMap<OsString, OsString>> {
    let is_to_be_renamed =
        |name: &OsString| !OWN.iter().any(|own| name == own) && commands_name(name).is_none();
    let names: Vec<_> = environment.keys().filter(|name| is_to_be_renamed(name)).cloned().collect();
    for name in &names {
        if let Some(value) = environment.remove(name) {
            let mut longer = OsString::from(COMMAND_VARIABLE);
            longer.push(name);
            environment.entry(longer).or_insert(value);
        }
    }
    (!names.is_empty()).then_some(environment)
}

/// What the command calls the variable; none where it is not the command's.
fn commands_name(name: &OsStr) -> Option<OsString> {
    let name = name.as_bytes().strip_prefix(COMMAND_VARIABLE.as_bytes())?;
    (!name.is_empty()).then(|| OsString::from_vec(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn only_exact_names_are_the_workers() {
        let given = environment(&[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_REGIONS", "all"),
            ("AWS_ENDPOINT_URL", "http://image"),
            ("HOME", "/image"),
            ("MAYFLY_VAR_HOME", "/document"),
            ("MAYFLY_VARIABLE", "x"),
        ]);
        let sorted_once = sorted(given).unwrap();
        let expected = environment(&[
            ("AWS_REGION", "eu-west-1"),
            ("MAYFLY_VAR_AWS_ENDPOINT_URL", "http://image"),
            ("MAYFLY_VAR_AWS_REGIONS", "all"),
            ("MAYFLY_VAR_HOME", "/document"),
            ("MAYFLY_VAR_MAYFLY_VARIABLE", "x"),
        ]);
        assert_eq!(sorted_once, expected);
        assert_eq!(sorted(sorted_once), None, "the second time there is nothing to do");
    }
}
