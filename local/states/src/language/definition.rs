//! A state machine's definition, as parsed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::choice::Rule;
use super::failure::{Catcher, Retrier};
use super::path::{Path, ReferencePath};
use super::resource::Resource;
use super::template::{Expression, Template};

/// A whole machine.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The states of the top level.
    pub scope: Scope,
    /// `TimeoutSeconds` of the machine.
    pub timeout: Option<u64>,
}

/// States that can reach each other: the top level, or one branch of a Parallel.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The first state.
    pub start_at: String,
    /// The states by name.
    pub states: BTreeMap<String, State>,
}

/// One state.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// What of the raw input it sees; nothing means an empty object.
    pub input_path: Option<Path>,
    /// What of its output goes on; nothing means an empty object.
    pub output_path: Option<Path>,
    /// The state that follows; nothing ends the scope. A Choice, Succeed or Fail has none.
    pub next: Option<String>,
}

/// The types of states, in two families.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Those that can be retried and caught.
    Work(Box<Work>),
    /// Those that only handle data and time.
    Plain(Plain),
}

/// A Task or a Parallel.
#[derive(Clone, Debug)]
pub struct Work {
    /// Which of the two.
    pub effort: Effort,
    /// What the call or each branch is given; nothing hands the input on.
    pub parameters: Option<Template>,
    /// Reshapes the result.
    pub result_selector: Option<Template>,
    /// Where the result goes in the raw input; nothing discards it.
    pub result_path: Option<ReferencePath>,
    /// Retry, in order.
    pub retry: Vec<Retrier>,
    /// Catch, in order.
    pub catch: Vec<Catcher>,
}

/// What a [`Work`] does.
#[derive(Clone, Debug)]
pub enum Effort {
    /// Calls a service.
    Task(Task),
    /// Runs branches side by side.
    Parallel(Vec<Scope>),
}

/// A call of a service.
#[derive(Clone, Debug)]
pub struct Task {
    /// What it calls.
    pub resource: Resource,
    /// The longest that one try may take.
    pub timeout: Option<Seconds>,
    /// The longest silence of a callback.
    pub heartbeat: Option<Seconds>,
}

/// The types that neither call nor branch out.
#[derive(Clone, Debug)]
pub enum Plain {
    /// Branches on data.
    Choice(Choice),
    /// Lets time pass.
    Wait(Wait),
    /// Transforms data.
    Pass(Pass),
    /// Ends well.
    Succeed,
    /// Ends badly.
    Fail(Fail),
}

/// A Choice.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Conditions and where they lead, in order.
    pub rules: Vec<(Rule, String)>,
    /// Where to go if none holds.
    pub default: Option<String>,
}

/// A Wait.
#[derive(Clone, Debug)]
pub enum Wait {
    /// For so many seconds.
    Seconds(Seconds),
    /// Until a moment.
    Until(jiff::Timestamp),
    /// Until a moment that the input holds.
    UntilPath(Path),
}

/// A Pass.
#[derive(Clone, Debug)]
pub struct Pass {
    /// A constant result.
    pub result: Option<Value>,
    /// Or a computed one.
    pub parameters: Option<Template>,
    /// Where the result goes in the raw input; nothing discards it.
    pub result_path: Option<ReferencePath>,
}

/// A Fail.
#[derive(Clone, Debug)]
pub struct Fail {
    /// The error name.
    pub error: Option<Text>,
    /// The explanation.
    pub cause: Option<Text>,
}

/// A text, given or computed.
#[derive(Clone, Debug)]
pub enum Text {
    /// As it stands.
    Literal(String),
    /// What a path or an intrinsic function gives.
    Computed(Expression),
}

/// A number of seconds, given or computed.
#[derive(Clone, Debug)]
pub enum Seconds {
    /// As it stands.
    Fixed(u64),
    /// What a path leads to.
    Path(Path),
}

impl Kind {
    /// The type as it stands in the definition and in the types of history events.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Work(work) => match work.effort {
                Effort::Task(_) => "Task",
                Effort::Parallel(_) => "Parallel",
            },
            Self::Plain(plain) => match plain {
                Plain::Choice(_) => "Choice",
                Plain::Wait(_) => "Wait",
                Plain::Pass(_) => "Pass",
                Plain::Succeed => "Succeed",
                Plain::Fail(_) => "Fail",
            },
        }
    }
}

impl Scope {
    /// Whether any Task, at any depth, uses `resource`.
    pub fn uses(&self, resource: Resource) -> bool {
        self.states.values().any(|state| match &state.kind {
            Kind::Plain(_) => false,
            Kind::Work(work) => match &work.effort {
                Effort::Task(task) => task.resource == resource,
                Effort::Parallel(branches) => branches.iter().any(|branch| branch.uses(resource)),
            },
        })
    }
}
