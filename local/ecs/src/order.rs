//! In which order the containers of a task start and stop. A container waits for those that it depends on, as its conditions
//! say, and stops before they do: API Reference, `ContainerDefinition$dependsOn`.
//!
//! The words for what never starts are those of ECS's own agent (aws/amazon-ecs-agent, `dependencygraph/graph.go`, and pull
//! request 3218 with what a person sees of them); Fargate's are not documented.

use std::time::Duration;

use tokio::time::Instant;

use crate::Ecs;
use crate::containers::{ContainerStatus, TaskContainer};
use crate::requests::{ContainerCondition, ContainerDefinition, ContainerDependency};

/// The exit code of a container that never starts, since what it depends on has failed; the agent's (see above).
pub(crate) const NEVER_STARTED: i32 = 143;

/// When a container may start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    Later,
    /// It never may, for this reason.
    Never(String),
}

/// The containers of one task, as they were asked for and as they are.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pub definitions: &'a [ContainerDefinition],
    pub containers: &'a [TaskContainer],
}

impl Group<'_> {
    /// When the container of this index may start.
    pub fn start(self, ecs: &Ecs, index: usize) -> Start {
        let target = &self.definitions[index];
        let mut start = Start::Now;
        for ContainerDependency { container_name, condition } in &target.depends_on {
            let Some(other) = position(self.definitions, container_name) else { continue };
            let container = &self.containers[other];
            let has_stopped = container.status == ContainerStatus::Stopped;
            let seen = self.seen(other);
            let target = format!("[{}({}) (NONE->RUNNING)]", target.name, target.image);
            let failed = |how: &str| {
                Start::Never(format!(
                    "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency {seen} \
                     for target {target} {how}"
                ))
            };
            let is_met = match condition {
                ContainerCondition::Success if has_stopped && container.exit_code != Some(0) => {
                    return failed("as dependency did not exit successfully.");
                }
                _ if has_stopped && container.started_at.is_none() => {
                    return failed("because dependency will never start");
                }
                ContainerCondition::Start => container.status != ContainerStatus::Pending,
                ContainerCondition::Complete | ContainerCondition::Success | ContainerCondition::Healthy => {
                    if !has_stopped
                        && self.gives_up_at(ecs, other).is_some_and(|end| end <= ecs.upstream.clock.instant())
                    {
                        return Start::Never(format!(
                            "CannotStartContainerError: dependency graph: container ordering dependency {seen} for target \
                             {target} has timed out."
                        ));
                    }
                    has_stopped
                }
            };
            if !is_met {
                start = Start::Later;
            }
        }
        start
    }

    /// When those that depend on a container that runs give up: `ContainerDefinition$startTimeout`.
    pub fn gives_up_at(self, ecs: &Ecs, index: usize) -> Option<Instant> {
        let seconds = self.definitions[index].start_timeout?;
        Some(self.containers[index].began? + ecs.time_for_work(Duration::from_secs(seconds)))
    }

    /// Those that run, and which no other that runs depends on.
    pub fn to_stop_next(self) -> Vec<usize> {
        let runs = |index: usize| self.containers[index].status == ContainerStatus::Running;
        let is_needed = |name: &str| {
            let mut others = self.definitions.iter().enumerate().filter(|(index, _)| runs(*index));
            others.any(|(_, other)| other.depends_on.iter().any(|on| on.container_name == name))
        };
        let indices = 0..self.definitions.len();
        indices.filter(|index| runs(*index) && !is_needed(&self.definitions[*index].name)).collect()
    }

    /// A container as the agent writes it.
    fn seen(self, index: usize) -> String {
        let (ContainerDefinition { name, image, .. }, container) =
            (&self.definitions[index], &self.containers[index]);
        let exit = container.exit_code.map(|code| format!(" - Exit: {code}")).unwrap_or_default();
        format!("[{name}({image}) ({}->RUNNING){exit}]", container.status.name())
    }
}

fn position(definitions: &[ContainerDefinition], name: &str) -> Option<usize> {
    definitions.iter().position(|container| container.name == name)
}
