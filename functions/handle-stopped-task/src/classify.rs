//! What an event means for the job.
//! Source: ECS developer guide, "Amazon ECS stopped tasks error messages" (stopped-task-error-codes); ECS API
//! Reference, `Task`, `stopCode`.

use aws_sdk_ecs::types::Service;
use mayfly_common::error::Class;
use mayfly_common::message::Failure;

use crate::event::{Action, Body, Event, TaskChange};

/// What a service says that found no room.
/// Source: ECS developer guide, "Viewing Amazon ECS service event messages".
const NO_PLACE: &str = "unable to place a task";

/// The class of what has happened to the task, or to its service; none where nothing has.
pub fn classify(event: &Event, service: &Service) -> Option<Failure> {
    let (class, message) = match &event.body {
        Body::Task(task) if task.last_status != "STOPPED" => return None,
        Body::Task(task) => of_task(task),
        Body::Service(action) => of_placement(action, service)?,
        Body::Deployment(action) => of_deployment(action, service)?,
    };
    Some(Failure { class, message, output: None })
}

fn of_task(task: &TaskChange) -> (Class, String) {
    let mut reasons: Vec<&str> = [task.stopped_reason.as_str()]
        .into_iter()
        .chain(task.containers.iter().map(|container| container.reason.as_str()))
        .filter(|reason| !reason.is_empty())
        .collect();
    // A container that could not be started gives the task its reason.
    reasons.dedup();
    let reason = if reasons.is_empty() { "ECS gave no reason".to_owned() } else { reasons.join("; ") };
    // An exit code may be 0 or absent all the same.
    if reason.contains("OutOfMemory") {
        return (Class::OutOfMemory, format!("the container was killed for want of memory: {reason}"));
    }
    match task.stop_code.as_str() {
        // AWS has had both names for it.
        "SpotInterruption" | "TerminationNotice" => {
            (Class::SpotInterrupted, format!("AWS took the Spot capacity back: {reason}"))
        }
        "TaskFailedToStart" => of_start(&reason),
        _ => {
            let code = task.containers.iter().find_map(|container| container.exit_code);
            let code = code.map_or("without an exit code".to_owned(), |code| format!("with code {code}"));
            (Class::HeartbeatLost, format!("the container ended {code} and without a report: {reason}"))
        }
    }
}

/// A task that never ran. What another try may cure is a start that failed; the rest has a class of its own.
fn of_start(reason: &str) -> (Class, String) {
    let lower = reason.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_pull = says(&["cannotpull", "pull image", "pull command", "image manifest"]);
    if says(&["capacity is unavailable"]) {
        return (Class::NoCapacity, format!("Fargate had no room for the container: {reason}"));
    }
    if is_pull
        && says(&[
            "not found",
            "does not exist",
            "denied",
            "unauthorized",
            "platform",
            "invalid reference",
            "no basic auth",
        ])
    {
        return (Class::ImagePullFailed, format!("Fargate could not pull the image: {reason}"));
    }
    if says(&["accessdenied", "not authorized", "unable to assume the role"]) {
        return (Class::AccessDenied, format!("the container could not start: {reason}"));
    }
    (Class::StartFailed, format!("the container could not start: {reason}"))
}

/// The event's own reason is a word such as `RESOURCE:FARGATE`; the service says more.
fn of_placement(action: &Action, service: &Service) -> Option<(Class, String)> {
    if action.event_name != "SERVICE_TASK_PLACEMENT_FAILURE" {
        return None;
    }
    Some(no_place(last_message(service, NO_PLACE).unwrap_or(&action.reason)))
}

fn no_place(told: &str) -> (Class, String) {
    let class =
        if told.contains("limit on the number of vCPUs") { Class::QuotaExceeded } else { Class::NoCapacity };
    (class, format!("Fargate placed no container: {told}"))
}

/// The circuit breaker has given up, for the reason that the service's last message has; a try that found no room counts
/// as a failed start.
/// Source: ECS API Reference, `Deployment`, `failedTasks`.
fn of_deployment(action: &Action, service: &Service) -> Option<(Class, String)> {
    if action.event_name != "SERVICE_DEPLOYMENT_FAILED" {
        return None;
    }
    let told = last_message(service, "unable to").unwrap_or(&action.reason);
    if told.contains(NO_PLACE) {
        return Some(no_place(told));
    }
    Some((Class::StartFailed, format!("ECS gave the service up: {told}")))
}

/// The newest of the service's messages that says this; they come newest first.
/// Source: ECS API Reference, `Service`, `events`.
fn last_message<'a>(service: &'a Service, words: &str) -> Option<&'a str> {
    service.events().iter().filter_map(|event| event.message()).find(|message| message.contains(words))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::ServiceEvent;

    use super::*;
    use crate::event::Container;

    fn class_of(stop_code: &str, stopped_reason: &str, exit_code: Option<i32>, reason: &str) -> Class {
        let containers = vec![Container { exit_code, reason: reason.into() }];
        let (stop_code, stopped_reason) = (stop_code.into(), stopped_reason.into());
        of_task(&TaskChange { stop_code, stopped_reason, containers, ..TaskChange::default() }).0
    }

    #[test]
    fn every_way_a_task_can_end_has_a_class() {
        let exited = "Essential container in task exited";
        let killed = "OutOfMemoryError: Container killed due to memory usage";
        let pull = |what: &str| {
            format!("CannotPullContainerError: pull image manifest has been retried 5 time(s): {what}")
        };
        let table = [
            ("SpotInterruption", "Your Spot Task was interrupted.", Some(143), "", Class::SpotInterrupted),
            ("TerminationNotice", "", Some(137), "", Class::SpotInterrupted),
            ("EssentialContainerExited", exited, Some(137), killed, Class::OutOfMemory),
            ("EssentialContainerExited", exited, Some(0), killed, Class::OutOfMemory),
            ("EssentialContainerExited", exited, None, killed, Class::OutOfMemory),
            ("EssentialContainerExited", exited, Some(137), "", Class::HeartbeatLost),
            ("InfrastructureHealth", "", None, "", Class::HeartbeatLost),
            ("UserInitiated", "Task stopped by user", Some(143), "", Class::HeartbeatLost),
            ("TaskFailedToStart", &pull("image: not found"), None, "", Class::ImagePullFailed),
            (
                "TaskFailedToStart",
                &pull("repository does not exist or may require login: denied"),
                None,
                "",
                Class::ImagePullFailed,
            ),
            ("TaskFailedToStart", &pull("dial tcp: i/o timeout"), None, "", Class::StartFailed),
            ("TaskFailedToStart", "Capacity is unavailable at this time.", None, "", Class::NoCapacity),
            ("TaskFailedToStart", "ECS was unable to assume the role 'r'", None, "", Class::AccessDenied),
            (
                "TaskFailedToStart",
                "Timeout waiting for network interface provisioning to complete.",
                None,
                "",
                Class::StartFailed,
            ),
        ];
        for (stop_code, stopped_reason, exit_code, reason, class) in table {
            assert_eq!(
                class_of(stop_code, stopped_reason, exit_code, reason),
                class,
                "{stop_code}: {stopped_reason}"
            );
        }
    }

    #[test]
    fn a_reason_that_is_given_twice_is_told_once() {
        let stopped_reason = "CannotPullContainerError: not found".to_owned();
        let containers = vec![Container { exit_code: None, reason: stopped_reason.clone() }];
        let task = TaskChange {
            stop_code: "TaskFailedToStart".into(),
            stopped_reason,
            containers,
            ..TaskChange::default()
        };
        let told = "Fargate could not pull the image: CannotPullContainerError: not found";
        assert_eq!(of_task(&task), (Class::ImagePullFailed, told.to_owned()));
    }

    #[test]
    fn a_deployment_is_given_up_for_the_reason_that_was_told_last() {
        let action = Action {
            event_name: "SERVICE_DEPLOYMENT_FAILED".into(),
            reason: "tasks failed to start.".into(),
        };
        let class_after = |messages: &[&str]| {
            let events = messages.iter().map(|message| ServiceEvent::builder().message(*message).build());
            let service = Service::builder().set_events(Some(events.collect())).build();
            of_deployment(&action, &service).map(|(class, _)| class)
        };
        let no_place = "was unable to place a task. Reason: Capacity is unavailable at this time.";
        let not_started = "is unable to consistently start tasks successfully.";
        assert_eq!(class_after(&[no_place, not_started]), Some(Class::NoCapacity));
        assert_eq!(class_after(&[not_started, no_place]), Some(Class::StartFailed));
        assert_eq!(class_after(&[]), Some(Class::StartFailed));
    }
}
