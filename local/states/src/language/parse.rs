//! From the text of a definition to [`Definition`], as strict as ValidateStateMachineDefinition.
//!
//! Field by field: <https://docs.aws.amazon.com/step-functions/latest/dg/workflow-states.html>

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::choice::{self, Rule};
use super::definition::{
    Choice, Definition, Effort, Fail, Kind, Pass, Plain, Scope, Seconds, State, Task, Text, Wait, Work,
};
use super::failure::{take_catchers, take_result_path, take_retriers};
use super::fields::Fields;
use super::path::Path;
use super::resource::Resource;
use super::template::{Expression, Template};

/// The longest state name (Step Functions, "State names": at most 80 characters).
const MAX_NAME: usize = 80;
/// The greatest TimeoutSeconds and Wait.
const MAX_SECONDS: u64 = 99_999_999;

/// Reads a definition.
///
/// # Errors
/// A sentence that names the state and the field that is wrong.
pub fn definition(text: &str) -> Result<Definition, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let mut fields = Fields::of(value, "the state machine".into())?;
    fields.take::<String>("Comment")?;
    constant(&mut fields, "Version", "1.0")?;
    constant(&mut fields, "QueryLanguage", "JSONPath")?;
    let timeout = fields.take_with("TimeoutSeconds", positive)?;
    let mut names = BTreeSet::new();
    let scope = take_scope(&mut fields, &mut names)?;
    fields.finish()?;
    Ok(Definition { scope, timeout })
}

fn constant(fields: &mut Fields, name: &str, only: &str) -> Result<(), String> {
    fields
        .take_with(name, |value: String| {
            if value == only {
                Ok(())
            } else {
                Err(format!("'{value}' is not supported here, only '{only}'"))
            }
        })
        .map(Option::unwrap_or_default)
}

fn positive(seconds: u64) -> Result<u64, String> {
    if (1..=MAX_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("{seconds} is not between 1 and {MAX_SECONDS}"))
    }
}

/// Takes StartAt and States; `names` are those of the whole machine, which must all differ.
fn take_scope(fields: &mut Fields, names: &mut BTreeSet<String>) -> Result<Scope, String> {
    let start_at: String = fields.need("StartAt")?;
    let mut states = BTreeMap::new();
    for (name, value) in fields.object("States")? {
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err(
                fields.error(&format!("the state name '{name}' must have 1 to {MAX_NAME} characters"))
            );
        }
        if !names.insert(name.clone()) {
            return Err(fields.error(&format!("the state name '{name}' is used twice in the machine")));
        }
        let state = take_state(Fields::of(value, format!("state '{name}'"))?, &name, names)?;
        states.insert(name, state);
    }
    let scope = Scope { start_at, states };
    check_transitions(&scope).map_err(|problem| fields.error(&problem))?;
    Ok(scope)
}

/// Every state must be there that another names, and be reached from StartAt.
fn check_transitions(scope: &Scope) -> Result<(), String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![("StartAt".to_owned(), scope.start_at.as_str())];
    while let Some((from, name)) = open.pop() {
        let state = scope
            .states
            .get(name)
            .ok_or_else(|| format!("{from} leads to '{name}', which is no state here"))?;
        if reached.insert(name) {
            open.extend(successors(state).into_iter().map(|next| (format!("state '{name}'"), next)));
        }
    }
    match scope.states.keys().find(|name| !reached.contains(name.as_str())) {
        Some(name) => Err(format!("state '{name}' cannot be reached")),
        None => Ok(()),
    }
}

fn successors(state: &State) -> Vec<&str> {
    let mut names: Vec<&str> = state.next.iter().map(String::as_str).collect();
    match &state.kind {
        Kind::Work(work) => names.extend(work.catch.iter().map(|catcher| catcher.next.as_str())),
        Kind::Plain(Plain::Choice(choice)) => {
            names.extend(choice.rules.iter().map(|(_, next)| next.as_str()).chain(choice.default.as_deref()));
        }
        Kind::Plain(_) => {}
    }
    names
}

fn take_state(mut fields: Fields, name: &str, names: &mut BTreeSet<String>) -> Result<State, String> {
    let kind: String = fields.need("Type")?;
    fields.take::<String>("Comment")?;
    constant(&mut fields, "QueryLanguage", "JSONPath")?;
    let kind = match kind.as_str() {
        "Task" => Kind::Work(Box::new(take_task(&mut fields)?)),
        "Parallel" => Kind::Work(Box::new(take_parallel(&mut fields, names)?)),
        "Choice" => Kind::Plain(Plain::Choice(take_choice(&mut fields)?)),
        "Wait" => Kind::Plain(Plain::Wait(take_wait(&mut fields)?)),
        "Pass" => Kind::Plain(Plain::Pass(Pass {
            result: fields.raw("Result"),
            parameters: take_template(&mut fields, "Parameters")?,
            result_path: take_result_path(&mut fields)?,
        })),
        "Succeed" => Kind::Plain(Plain::Succeed),
        "Fail" => Kind::Plain(Plain::Fail(Fail {
            error: take_text(&mut fields, "Error")?,
            cause: take_text(&mut fields, "Cause")?,
        })),
        other => return Err(fields.error(&format!("the type '{other}' is not supported here"))),
    };
    // A Fail has no paths at all.
    let (input_path, output_path) = if matches!(kind, Kind::Plain(Plain::Fail(_))) {
        (Some(Path::whole()), Some(Path::whole()))
    } else {
        (take_path(&mut fields, "InputPath")?, take_path(&mut fields, "OutputPath")?)
    };
    let next = match kind {
        Kind::Plain(Plain::Choice(_) | Plain::Succeed | Plain::Fail(_)) => None,
        _ => take_next(&mut fields)?,
    };
    fields.finish()?;
    Ok(State { name: name.to_owned(), kind, input_path, output_path, next })
}

/// Exactly one of Next and `End: true`.
fn take_next(fields: &mut Fields) -> Result<Option<String>, String> {
    let next: Option<String> = fields.take("Next")?;
    match (next, fields.take("End")?) {
        (Some(next), None | Some(false)) => Ok(Some(next)),
        (None, Some(true)) => Ok(None),
        _ => Err(fields.error("exactly one of 'Next' and 'End: true' is needed")),
    }
}

/// Absent is `$`, null is an empty object.
fn take_path(fields: &mut Fields, name: &str) -> Result<Option<Path>, String> {
    fields
        .take_with(name, |text: Option<String>| text.as_deref().map(Path::parse).transpose())
        .map(|path| path.unwrap_or_else(|| Some(Path::whole())))
}

fn take_template(fields: &mut Fields, name: &str) -> Result<Option<Template>, String> {
    let template = fields.raw(name).map(Template::parse).transpose();
    template.map_err(|error| fields.error(&format!("field '{name}': {error}")))
}

/// `name`, or `namePath` with an expression.
fn take_text(fields: &mut Fields, name: &str) -> Result<Option<Text>, String> {
    let path_name = format!("{name}Path");
    let literal = fields.take(name)?.map(Text::Literal);
    let computed =
        fields.take_with(&path_name, |text: String| Expression::parse(&text).map(Text::Computed))?;
    fields.one_of(literal, computed, [name, &path_name])
}

/// `name`, or `namePath` with a path.
fn take_seconds(fields: &mut Fields, name: &str) -> Result<Option<Seconds>, String> {
    let path_name = format!("{name}Path");
    let fixed = fields.take_with(name, |seconds| positive(seconds).map(Seconds::Fixed))?;
    let path = fields.take_with(&path_name, |text: String| Path::parse(&text).map(Seconds::Path))?;
    fields.one_of(fixed, path, [name, &path_name])
}

fn take_task(fields: &mut Fields) -> Result<Work, String> {
    let resource = fields.need_with("Resource", Resource::parse)?;
    let timeout = take_seconds(fields, "TimeoutSeconds")?;
    let heartbeat = take_seconds(fields, "HeartbeatSeconds")?;
    if let (Some(Seconds::Fixed(timeout)), Some(Seconds::Fixed(heartbeat))) = (&timeout, &heartbeat)
        && heartbeat >= timeout
    {
        return Err(fields.error("'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'"));
    }
    let work = take_work(fields, Effort::Task(Task { resource, timeout, heartbeat }))?;
    resource.check(work.parameters.as_ref()).map_err(|problem| fields.error(&problem))?;
    Ok(work)
}

fn take_parallel(fields: &mut Fields, names: &mut BTreeSet<String>) -> Result<Work, String> {
    let mut branches = Vec::new();
    for (at, branch) in fields.array("Branches")?.into_iter().enumerate() {
        let mut branch = Fields::of(branch, format!("{}, Branches[{at}]", fields.place()))?;
        branch.take::<String>("Comment")?;
        branches.push(take_scope(&mut branch, names)?);
        branch.finish()?;
    }
    take_work(fields, Effort::Parallel(branches))
}

fn take_work(fields: &mut Fields, effort: Effort) -> Result<Work, String> {
    Ok(Work {
        effort,
        parameters: take_template(fields, "Parameters")?,
        result_selector: take_template(fields, "ResultSelector")?,
        result_path: take_result_path(fields)?,
        retry: take_retriers(fields)?,
        catch: take_catchers(fields)?,
    })
}

fn take_choice(fields: &mut Fields) -> Result<Choice, String> {
    let mut rules = Vec::new();
    for (at, rule) in fields.array("Choices")?.into_iter().enumerate() {
        let mut rule = Fields::of(rule, format!("{}, Choices[{at}]", fields.place()))?;
        let next = rule.need("Next")?;
        rules.push((Rule::parse(&mut rule)?, next));
        rule.finish()?;
    }
    Ok(Choice { rules, default: fields.take("Default")? })
}

/// Exactly one of the four ways to say how long.
fn take_wait(fields: &mut Fields) -> Result<Wait, String> {
    // Unlike a time-out, a wait may be of no seconds at all.
    let seconds = fields.take_with("Seconds", |seconds: u64| match seconds {
        0 => Ok(Wait::Seconds(Seconds::Fixed(0))),
        more => positive(more).map(|seconds| Wait::Seconds(Seconds::Fixed(seconds))),
    })?;
    let seconds_path = fields.take_with("SecondsPath", |text: String| {
        Path::parse(&text).map(|path| Wait::Seconds(Seconds::Path(path)))
    })?;
    let until = fields.take_with("Timestamp", |value: Value| {
        choice::moment(&value).map(Wait::Until).ok_or_else(|| format!("{value} is not a timestamp"))
    })?;
    let until_path =
        fields.take_with("TimestampPath", |text: String| Path::parse(&text).map(Wait::UntilPath))?;
    let mut given = [seconds, seconds_path, until, until_path].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(wait), None) => Ok(wait),
        _ => Err(fields
            .error("exactly one of 'Seconds', 'SecondsPath', 'Timestamp' and 'TimestampPath' is needed")),
    }
}
