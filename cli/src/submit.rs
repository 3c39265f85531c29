//! Submits a job: its document, as it is in a file or as the command line says it, under the name that its execution gets.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use mayfly_model::job::read;
use mayfly_model::names::job_id;
use serde_json::Value;
use uuid::Uuid;

use crate::flags::Flags;
use crate::stack::{Stack, aws};

/// The longest name from a file, so that the random number fits into a job's id.
const STEM_LIMIT: usize = 64 - 9;

/// A job that is ready to be started.
pub struct Submission {
    /// The name of its execution.
    pub name: String,
    document: String,
}

impl Submission {
    /// Reads the job document from `file`, or from standard input if that is `-`.
    ///
    /// Only the text is checked, of which Step Functions shows plan-job what its own parser made: what a job may be is
    /// for plan-job alone to judge.
    pub fn read(file: &Path, name: Option<String>) -> Result<Self> {
        let is_stdin = file == Path::new("-");
        let source = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
        let document = if is_stdin {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(file)
        };
        let document = document.with_context(|| format!("could not read {source}"))?;
        checked(&document).with_context(|| source.clone())?;
        let name = match name {
            Some(name) => name,
            None if is_stdin => name_like("job"),
            None => name_like(&file.file_stem().unwrap_or_default().to_string_lossy()),
        };
        Ok(Self { name, document })
    }

    /// The job that the command line says.
    pub fn said(flags: &Flags, name: Option<String>) -> Result<Self> {
        let document = flags.document()?.to_string();
        Ok(Self { name: name.unwrap_or_else(|| name_like(flags.stem())), document })
    }

    /// The same with what `flags` set in place of what the document says itself.
    pub fn changed(self, flags: &Flags) -> Result<Self> {
        if flags.is_empty() {
            return Ok(self);
        }
        let document = flags.changed(checked(&self.document)?)?.to_string();
        Ok(Self { document, ..self })
    }

    /// The document, for people.
    pub fn shown(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&serde_json::from_str::<Value>(&self.document)?)?)
    }

    /// Starts the job; returns the execution's ARN.
    ///
    /// While a job of the same name and document runs, this is that job.
    /// Source: Step Functions API Reference, `StartExecution`.
    pub async fn start(&self, stack: &Stack) -> Result<String> {
        let Self { name, document } = self;
        let started = stack
            .states
            .start_execution()
            .state_machine_arn(&stack.run_job)
            .name(name)
            .input(document)
            .send()
            .await;
        match started {
            Ok(started) => Ok(started.execution_arn),
            Err(error)
                if error.as_service_error().is_some_and(StartExecutionError::is_execution_already_exists) =>
            {
                bail!(
                    "there is already a job `{name}`, with another document or at its end; see it with `mayfly follow \
                 {name}`, or choose another --name (Step Functions frees a name 90 days after the end)"
                )
            }
            Err(error) => Err(aws(&format!("start the job `{name}`"))(error)),
        }
    }
}

fn checked(document: &str) -> Result<Value> {
    let value = read(document).map_err(anyhow::Error::msg)?;
    if !value.is_object() {
        bail!("it must be a JSON object such as {{\"task\": {{\"command\": [\"true\"]}}}}");
    }
    Ok(value)
}

/// A name that begins like `stem`, that no other job has, and that is also the job's id.
fn name_like(stem: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let stem: String = stem.chars().take(STEM_LIMIT).map(allowed).collect();
    let number = &Uuid::new_v4().simple().to_string()[..8];
    let name = format!("{stem}-{number}");
    debug_assert_eq!(job_id(&name), name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_name_becomes_a_valid_job_id() {
        for stem in ["run-job", "my job (2)", "Übung", "", &"x".repeat(200)] {
            let name = name_like(stem);
            assert_eq!(job_id(&name), name);
            assert_ne!(name, name_like(stem));
        }
        assert!(name_like("run-job.v2").starts_with("run-job-v2-"));
    }

    #[test]
    fn what_step_functions_would_hide_or_refuse_in_its_own_words_is_refused_before_it_is_sent() {
        for (text, words) in [
            ("{\n  \"task\": }", "no JSON: expected value at line 2 column 11"),
            ("\u{feff}{\"task\": {\"command\": [\"true\"]}}", "byte order mark"),
            (r#"{"task": {"command": ["true"]}, "task": {"command": ["sh"]}}"#, "task: given twice"),
        ] {
            let error = checked(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn only_an_object_is_sent() {
        assert!(checked("[1]").unwrap_err().to_string().contains("must be a JSON object"));
        assert!(checked("{\"any\": \"object\"}").is_ok());
    }
}
