//! What an event of ECS means for the job: nothing, or a loss, and of which class.
//! Source: ECS developer guide, "Amazon ECS stopped tasks error messages" (stopped-task-error-codes); ECS API
//! Reference, `Task`, `stopCode`.

use aws_sdk_ecs::types::Service;
use mayfly_model::class::Class;
use mayfly_model::message::{Failure, Loss};
use mayfly_model::names::{SERVICE_CONTAINER, WORKER_CONTAINER};

use crate::event::{Action, Body, Event, TaskChange};

/// What a service says that found no room.
/// Source: ECS developer guide, "Viewing Amazon ECS service event messages".
const NO_PLACE: &str = "unable to place a task";

/// Fargate's quotas: the capacity that each is for, its name and its number. Both are 6 by default.
/// Source: AWS General Reference, "AWS Fargate endpoints and quotas".
const VCPU_QUOTAS: [(&str, &str, &str); 2] = [
    ("FARGATE", "Fargate On-Demand vCPU resource count", "L-3032A538"),
    ("FARGATE_SPOT", "Fargate Spot vCPU resource count", "L-36FBB829"),
];

/// The class of what has happened to the task, or to its service; none where nothing has.
pub fn classify(event: &Event, service: &Service) -> Option<Loss> {
    let (class, message) = match &event.body {
        Body::Task(task) if task.last_status != "STOPPED" => return None,
        Body::Task(task) => of_task(task),
        Body::Service(action) => of_service(action, service)?,
        Body::Deployment(action) => of_deployment(action, service)?,
    };
    let given_up = matches!(event.body, Body::Deployment(_));
    Some(Loss { failure: Failure { class, message, output: None }, given_up })
}

/// The same where no report has come from the task: a container that has ended by itself was not at work yet, and its own
/// log says why.
#[must_use]
pub fn before_work(event: &Body, mut loss: Loss) -> Loss {
    let Body::Task(task) = event else { return loss };
    // A signal's number is above.
    let ended_by_itself = exit_code(task).is_some_and(|code| code < 128);
    if ended_by_itself && loss.failure.class == Class::HeartbeatLost {
        loss.failure.class = Class::StartFailed;
        loss.failure.message += "; it had not reported for work, and its log says why (`mayfly logs`)";
    }
    loss
}

/// How a service's container ended by itself, or was found ill; none where it was stopped from outside, or never ran.
/// Source: ECS developer guide, "Amazon ECS stopped tasks error messages": a task that fails the health check of its
/// container or its load balancer is stopped by the service.
pub fn of_end(task: &TaskChange) -> Option<(Class, String)> {
    let reason = &task.stopped_reason;
    let is_ill = reason.contains("health check");
    if task.stop_code != "EssentialContainerExited" && !is_ill {
        return None;
    }
    let (class, told) = of_task(task);
    if class == Class::OutOfMemory {
        return Some((class, told));
    }
    let how = exit_code(task).map_or("without an exit code".to_owned(), |code| format!("with code {code}"));
    let told = if is_ill { format!("was stopped: {reason}") } else { format!("ended {how}: {reason}") };
    Some((Class::CommandFailed, format!("the container {told}")))
}

/// The code that the task's container ended with, where it has one: that in which the worker or the service is, not one that
/// prepares the task for it.
pub fn exit_code(task: &TaskChange) -> Option<i32> {
    let is_its = |name: &str| [WORKER_CONTAINER, SERVICE_CONTAINER].contains(&name);
    task.containers.iter().find(|container| is_its(&container.name))?.exit_code
}

/// The class of a task's end, and what happened in words.
pub fn of_task(task: &TaskChange) -> (Class, String) {
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
            let code =
                exit_code(task).map_or("without an exit code".to_owned(), |code| format!("with code {code}"));
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
    let told = format!("the container could not start: {reason}");
    match remedy(&lower, is_pull) {
        Some(remedy) => (Class::StartFailed, format!("{told}; {remedy}")),
        None => (Class::StartFailed, told),
    }
}

/// What a network that does not lead where Fargate has to go means, which its words do not say, and what to do.
/// Source: ECS developer guide, "Amazon ECS stopped tasks error messages", `CannotPullContainer` and
/// `ResourceInitializationError`.
fn remedy(lower: &str, is_pull: bool) -> Option<&'static str> {
    if is_pull && lower.contains("network is unreachable") {
        return Some(
            "the container's network has no route to an address of the registry, which may have no IPv6: copy the image into \
             the stack's repository, or choose another network",
        );
    }
    if lower.contains("failed to validate logger args") {
        return Some(
            "CloudWatch Logs was not reached, or did not take the log: see that the container's network leads there by HTTPS, \
             and that the log group is there",
        );
    }
    if lower.contains("getauthorizationtoken") && lower.contains("i/o timeout") {
        return Some(
            "nothing leads from the container's network to ECR: its subnets need a public address and an internet gateway, a \
             NAT gateway or VPC endpoints, and its security groups must let port 443 out",
        );
    }
    None
}

/// The event's own reason may be a word such as `RESOURCE:FARGATE`; the service says more. Under which of its names a full
/// quota is told is not documented, so it is looked for behind each; what else keeps a service from starting tasks is told
/// by each task that fails.
/// Source: ECS developer guide, "Amazon ECS service action events".
fn of_service(action: &Action, service: &Service) -> Option<(Class, String)> {
    let told = last_message(service, NO_PLACE).unwrap_or(&action.reason);
    match action.event_name.as_str() {
        "SERVICE_TASK_PLACEMENT_FAILURE" => Some(no_place(told, service)),
        "SERVICE_TASK_CONFIGURATION_FAILURE" | "SERVICE_TASK_START_IMPAIRED" if is_quota(told) => {
            Some(no_place(told, service))
        }
        "SERVICE_TASK_CONFIGURATION_FAILURE" => Some(of_start(&action.reason)),
        _ => None,
    }
}

fn is_quota(told: &str) -> bool {
    told.contains("limit on the number of vCPUs")
}

fn no_place(told: &str, service: &Service) -> (Class, String) {
    if is_quota(told) {
        let told = told.trim_end_matches('.');
        let quota = vcpu_quota(service);
        return (
            Class::QuotaExceeded,
            format!(
                "Fargate placed no container: {told}. The quota {quota} is used up; raise it in the console of Service \
                 Quotas"
            ),
        );
    }
    // The service says the same of a task that had a place and could not start, with the error of that.
    match told.split_once("Reason: ") {
        Some((_, reason)) if reason.contains("Error: ") => of_start(reason),
        _ => (Class::NoCapacity, format!("Fargate placed no container: {told}")),
    }
}

/// The quota of the capacity that the service asks for; both where it does not say.
fn vcpu_quota(service: &Service) -> String {
    let asked = |provider| {
        let strategy = service.capacity_provider_strategy();
        strategy.is_empty() || strategy.iter().any(|item| item.capacity_provider() == provider)
    };
    let quotas = VCPU_QUOTAS.iter().filter(|(provider, ..)| asked(*provider));
    let quotas = quotas.map(|(_, name, number)| format!("\"{name}\" ({number}, 6 by default)"));
    quotas.collect::<Vec<_>>().join(" or ")
}

/// ECS has given the service up, for the reason that the service's last message has, and starts no task any more. Mayfly
/// turns the circuit breaker on for what is called, and off for work; a person may turn it on there.
/// Source: ECS API Reference, `DeploymentCircuitBreaker`.
fn of_deployment(action: &Action, service: &Service) -> Option<(Class, String)> {
    if action.event_name != "SERVICE_DEPLOYMENT_FAILED" {
        return None;
    }
    Some(given_up(service, &action.reason))
}

/// Why ECS has given the service up; `reason` is what it says where the service's messages do not.
pub fn given_up(service: &Service, reason: &str) -> (Class, String) {
    let told = last_message(service, "unable to").unwrap_or(reason);
    if told.contains(NO_PLACE) {
        return no_place(told, service);
    }
    (Class::StartFailed, format!("ECS gave the service up: {told}"))
}

/// Why the service finds no room for another task, if it has said so.
pub fn unplaced(service: &Service) -> Option<(Class, String)> {
    last_message(service, NO_PLACE).map(|told| no_place(told, service))
}

/// The newest of the service's messages that says this; they come newest first.
/// Source: ECS API Reference, `Service`, `events`.
fn last_message<'a>(service: &'a Service, words: &str) -> Option<&'a str> {
    service.events().iter().filter_map(|event| event.message()).find(|message| message.contains(words))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::{CapacityProviderStrategyItem, ServiceEvent};
    use serde_json::json;

    use super::*;
    use crate::event::Container;

    /// What a task says whose network leads nowhere.
    const NO_WAY: &str = "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull \
                          registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. \
                          Check your task network configuration. operation error ECR: GetAuthorizationToken, exceeded \
                          maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , request send \
                          failed, Post \"https://api.ecr.eu-west-1.amazonaws.com/\": dial tcp 192.0.2.1:443: i/o timeout";

    /// What a task says whose log group is gone.
    const NO_LOG_GROUP: &str = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 \
                                times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log \
                                group does not exist. : exit status 1";

    const CONFIGURATION: &str = "SERVICE_TASK_CONFIGURATION_FAILURE";
    const IMPAIRED: &str = "SERVICE_TASK_START_IMPAIRED";

    fn class_of(stop_code: &str, stopped_reason: &str, exit_code: Option<i32>, reason: &str) -> Class {
        let containers = vec![Container { name: WORKER_CONTAINER.into(), exit_code, reason: reason.into() }];
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
            ("TaskFailedToStart", NO_WAY, None, "", Class::StartFailed),
            ("TaskFailedToStart", NO_LOG_GROUP, None, "", Class::StartFailed),
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
    fn a_network_that_leads_nowhere_is_told_in_plain_words() {
        let pull = "CannotPullContainerError: pull image manifest has been retried 7 time(s): dial tcp 192.0.2.1:443: connect: \
                    network is unreachable";
        let logs = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: \
                    failed to create Cloudwatch log stream: dial tcp 192.0.2.1:443: i/o timeout";
        for (reason, words) in [
            (pull, "copy the image into the stack's repository"),
            (logs, "CloudWatch Logs was not reached"),
            (NO_WAY, "nothing leads from the container's network to ECR"),
        ] {
            let (class, message) = of_start(reason);
            assert_eq!(class, Class::StartFailed);
            assert!(message.starts_with(&format!("the container could not start: {reason}; ")), "{message}");
            assert!(message.contains(words), "{message}");
        }
        let other = "Timeout waiting for network interface provisioning to complete.";
        assert_eq!(of_start(other).1, format!("the container could not start: {other}"));
    }

    #[test]
    fn a_worker_that_could_not_start_is_no_lost_heartbeat() {
        let class_of = |stop_code: &str, exit_code: Option<i32>| {
            // The one that brought the worker has ended well before.
            let init = Container { name: "init".into(), exit_code: Some(0), ..Container::default() };
            let worker = Container { name: WORKER_CONTAINER.into(), exit_code, ..Container::default() };
            let containers = vec![init, worker];
            let task = TaskChange { stop_code: stop_code.into(), containers, ..TaskChange::default() };
            let (class, message) = of_task(&task);
            let loss = Loss { failure: Failure { class, message, output: None }, given_up: false };
            before_work(&Body::Task(task), loss).failure
        };
        let failure = class_of("EssentialContainerExited", Some(101));
        assert_eq!(failure.class, Class::StartFailed);
        let words =
            "the container ended with code 101 and without a report: ECS gave no reason; it had not reported";
        assert!(failure.message.starts_with(words), "{}", failure.message);
        assert_eq!(class_of("EssentialContainerExited", Some(137)).class, Class::HeartbeatLost);
        assert_eq!(class_of("EssentialContainerExited", None).class, Class::HeartbeatLost);
        assert_eq!(class_of("SpotInterruption", Some(1)).class, Class::SpotInterrupted);
    }

    #[test]
    fn a_reason_that_is_given_twice_is_told_once() {
        let stopped_reason = "CannotPullContainerError: not found".to_owned();
        let containers = vec![Container { reason: stopped_reason.clone(), ..Container::default() }];
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
        let no_start = format!("was unable to place a task. Reason: {NO_WAY}. For more information, see …");
        assert_eq!(class_after(&[&no_start]), Some(Class::StartFailed));
        let no_image =
            "was unable to place a task. Reason: CannotPullContainerError: failed to resolve ref: not found.";
        assert_eq!(class_after(&[no_image]), Some(Class::ImagePullFailed));
    }

    #[test]
    fn a_service_without_room_says_so_and_another_does_not() {
        let unplaced = |message: &str| {
            unplaced(&Service::builder().events(ServiceEvent::builder().message(message).build()).build())
        };
        let told = "was unable to place a task. Reason: Capacity is unavailable at this time.";
        let message = format!("Fargate placed no container: {told}");
        assert_eq!(unplaced(told), Some((Class::NoCapacity, message)));
        assert_eq!(unplaced("has started 1 tasks: (task a)."), None);
    }

    #[test]
    fn a_service_that_is_given_up_is_told_apart_from_one_that_finds_no_room() {
        let message = "was unable to place a task. Reason: Capacity is unavailable at this time.";
        let service = Service::builder().events(ServiceEvent::builder().message(message).build()).build();
        for (kind, event_name, given_up) in [
            ("ECS Service Action", "SERVICE_TASK_PLACEMENT_FAILURE", false),
            ("ECS Deployment State Change", "SERVICE_DEPLOYMENT_FAILED", true),
        ] {
            let event = json!({ "id": "1", "detail-type": kind, "detail": { "eventName": event_name } });
            let loss = classify(&serde_json::from_value(event).unwrap(), &service).unwrap();
            assert_eq!((loss.failure.class, loss.given_up), (Class::NoCapacity, given_up));
        }
    }

    #[test]
    fn a_service_that_cannot_start_tasks_says_why() {
        let class_of = |event_name: &str, reason: &str| {
            let action = Action { event_name: event_name.into(), reason: reason.into() };
            of_service(&action, &Service::builder().build()).map(|(class, _)| class)
        };
        let no_role = "ECS was unable to assume the role 'r' that was provided for this task.";
        let no_vcpus = "You’ve reached the limit on the number of vCPUs you can run concurrently";
        assert_eq!(class_of(CONFIGURATION, no_role), Some(Class::AccessDenied));
        assert_eq!(class_of(CONFIGURATION, "tags need the new format of ARNs"), Some(Class::StartFailed));
        for name in [CONFIGURATION, IMPAIRED] {
            assert_eq!(class_of(name, no_vcpus), Some(Class::QuotaExceeded), "the event itself says it");
        }
        assert_eq!(class_of(IMPAIRED, ""), None, "the tasks say why");
        assert_eq!(class_of("SERVICE_STEADY_STATE", ""), None);
    }

    #[test]
    fn a_full_quota_of_vcpus_is_named_with_its_number() {
        let told = "was unable to place a task. Reason: You’ve reached the limit on the number of vCPUs you can run \
                    concurrently. For more information, see the Troubleshooting section.";
        let action =
            |event_name: &str| Action { event_name: event_name.into(), reason: "RESOURCE:FARGATE".into() };
        let on_demand = "\"Fargate On-Demand vCPU resource count\" (L-3032A538, 6 by default)";
        let spot = "\"Fargate Spot vCPU resource count\" (L-36FBB829, 6 by default)";
        let both = format!("{on_demand} or {spot}");
        for (provider, quota) in [(Some("FARGATE"), on_demand), (Some("FARGATE_SPOT"), spot), (None, &both)] {
            let item =
                |name| CapacityProviderStrategyItem::builder().capacity_provider(name).build().unwrap();
            let service = Service::builder()
                .events(ServiceEvent::builder().message(told).build())
                .set_capacity_provider_strategy(provider.map(|name| vec![item(name)]))
                .build();
            let told = told.trim_end_matches('.');
            let message = format!(
                "Fargate placed no container: {told}. The quota {quota} is used up; raise it in the console of Service \
                 Quotas"
            );
            let expected = Some((Class::QuotaExceeded, message));
            for name in ["SERVICE_TASK_PLACEMENT_FAILURE", CONFIGURATION, IMPAIRED] {
                assert_eq!(of_service(&action(name), &service), expected);
            }
            assert_eq!(of_deployment(&action("SERVICE_DEPLOYMENT_FAILED"), &service), expected);
        }
    }
}
