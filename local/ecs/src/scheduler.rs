//! The service scheduler: keeps each service at its number of tasks, and gives up a deployment that never
//! starts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::{Fault, Refusal};
use crate::requests::{CircuitBreaker, ThresholdConfiguration, ThresholdType};
use crate::services::{self, Rollout, Service, Status};
use crate::strategy::choose;
use crate::tasks::{self, LastStatus, StopCode, Task};
use crate::{Ecs, State, iso};

/// A task that never started is tried again later and later, up to every 27 minutes: Developer Guide, "Amazon
/// ECS service throttle logic". The first pause and the number of failures until the service says so are not
/// documented.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(27);
const IMPAIRED_AFTER: u32 = 3;

/// Starts and stops tasks until the service has what it should have. To be called after every change.
pub(crate) fn reconcile(ecs: &Ecs, state: &mut State, arn: &str) {
    let Some(service) = state.services.get(arn) else { return };
    let alive: Vec<_> =
        state.tasks_of(arn).filter(|task| !task.is_stopping()).map(|task| task.arn.clone()).collect();
    let desired = service.desired as usize;
    match service.status {
        Status::Active if alive.len() < desired => start(ecs, state, arn, desired - alive.len()),
        Status::Active | Status::Draining => stop(ecs, state, arn, &alive[desired.min(alive.len())..]),
        Status::Inactive => return,
    }
    settle(ecs, state, arn);
}

fn start(ecs: &Ecs, state: &mut State, arn: &str, count: usize) {
    let service = &state.services[arn];
    // A deployment that the circuit breaker has ended starts nothing: Developer Guide, "How the Amazon ECS
    // deployment circuit breaker detects failures".
    if service.deployment.rollout == Rollout::Failed || ecs.upstream.clock.instant() < service.retry_at {
        return;
    }
    let mut ids = Vec::new();
    let mut refusal = None;
    for _ in 0..count {
        let service = &state.services[arn];
        let alive = state.tasks_of(arn).filter(|task| !task.is_stopping());
        let taken: Vec<_> = alive.map(|task| task.capacity_provider.as_str()).collect();
        let provider = choose(&service.strategy, &taken).to_owned();
        let fault = service.job().and_then(|job| ecs.faults.take(job, &provider));
        let room = || Some((ecs.quotas.refusal(state, &service.definition, &provider)?, Refusal::default()));
        if let Some((reason, event)) = fault.as_ref().and_then(Fault::of_placement).or_else(room) {
            refusal = Some((provider, reason, event));
            break;
        }
        ids.push(format!("(task {})", tasks::create(ecs, state, arn, provider, fault)));
    }
    let Some(service) = state.services.get_mut(arn) else { return };
    service.steady = false;
    if !ids.is_empty() {
        service.announce(ecs, &format!("has started {} tasks: {}.", ids.len(), ids.join(" ")));
    }
    if let Some((provider, reason, event)) = refusal {
        announce_refusal(ecs, service, &provider, reason, event);
        // "A task is considered a failure if the service scheduler can't launch the task": API Reference,
        // `Deployment$failedTasks`. When it is tried again is not documented.
        task_failed(ecs, state, arn);
    }
}

/// Developer Guide, "Amazon ECS service event messages" and "Amazon ECS service action events", whose sample this is.
fn announce_refusal(ecs: &Ecs, service: &mut Service, provider: &str, reason: &str, event: Refusal) {
    announce_no_place(ecs, service, reason);
    let mut detail = match event {
        Refusal::ServiceTaskPlacementFailure => {
            action(ecs, service, "ERROR", "SERVICE_TASK_PLACEMENT_FAILURE")
        }
        Refusal::ServiceTaskConfigurationFailure => {
            action(ecs, service, "ERROR", "SERVICE_TASK_CONFIGURATION_FAILURE")
        }
        Refusal::ServiceTaskStartImpaired => action(ecs, service, "WARN", "SERVICE_TASK_START_IMPAIRED"),
    };
    detail["capacityProviderArns"] = json!([ecs.arn(&format!("capacity-provider/{provider}"))]);
    detail["reason"] = json!("RESOURCE:FARGATE");
    announce_action(ecs, service, detail);
}

fn announce_no_place(ecs: &Ecs, service: &mut Service, reason: &str) {
    service.announce(ecs, &format!(
        "was unable to place a task. Reason: {reason}. For more information, see the Troubleshooting section of the Amazon \
         ECS Developer Guide."
    ));
}

fn stop(ecs: &Ecs, state: &mut State, service_arn: &str, surplus: &[String]) {
    if surplus.is_empty() {
        return;
    }
    let Some(service) = state.services.get_mut(service_arn) else { return };
    service.steady = false;
    let ids: Vec<_> = surplus.iter().map(|arn| format!("(task {})", crate::short_name(arn))).collect();
    service.announce(ecs, &format!("has stopped {} running tasks: {}.", surplus.len(), ids.join(" ")));
    let reason = format!("Scaling activity initiated by (deployment {})", service.deployment.id);
    for task in surplus {
        tasks::request_stop(ecs, state, task, StopCode::ServiceSchedulerInitiated, &reason);
    }
}

/// Announces what the service has come to.
fn settle(ecs: &Ecs, state: &mut State, arn: &str) {
    let running = state.tasks_of(arn).filter(|task| task.is_running()).count();
    let pending = state.tasks_of(arn).filter(|task| task.is_pending()).count();
    // "when the service is healthy and at the desired number of tasks": Developer Guide, "Amazon ECS service event
    // messages".
    let passing = state.tasks_of(arn).filter(|task| task.is_running()).all(Task::is_passing);
    let before_stopping = state.tasks_of(arn).any(|task| task.last_status < LastStatus::Stopping);
    let Some(service) = state.services.get_mut(arn) else { return };
    match service.status {
        // "After all tasks have transitioned to either STOPPING or STOPPED status, the service status moves
        // from DRAINING to INACTIVE": API Reference, `DeleteService`.
        Status::Draining if !before_stopping => {
            service.status = Status::Inactive;
            ecs.spawn(services::forget(ecs.clone(), arn.to_owned()));
        }
        Status::Active
            if !service.steady && passing && running == service.desired as usize && pending == 0 =>
        {
            service.steady = true;
            service.announce(ecs, "has reached a steady state.");
            announce_action(ecs, service, action(ecs, service, "INFO", "SERVICE_STEADY_STATE"));
            if service.deployment.rollout == Rollout::InProgress {
                let completed = format!("(deployment {}) deployment completed.", service.deployment.id);
                service.announce(ecs, &completed);
                conclude(ecs, service, Rollout::Completed);
            }
        }
        _ => {}
    }
}

/// Counts a task that has reached RUNNING: it ends the throttle, whatever becomes of it (Developer Guide, "Amazon ECS service
/// throttle logic").
pub(crate) fn task_started(state: &mut State, arn: &str) {
    let Some(service) = state.services.get_mut(arn) else { return };
    service.failures = 0;
    service.deployment.has_run = true;
}

/// Counts a task that runs and passes all of its health checks, if it has any.
pub(crate) fn task_passes(state: &mut State, arn: &str) {
    let Some(service) = state.services.get_mut(arn) else { return };
    // `DeploymentCircuitBreaker$resetOnHealthyTask`, on by default.
    if breaker(service).and_then(|breaker| breaker.reset_on_healthy_task).unwrap_or(true) {
        service.deployment.failed_tasks = 0;
    }
}

/// Stops a task that fails a health check, to replace it: Developer Guide, "Determine Amazon ECS task health using container
/// health checks" and "Amazon ECS stopped tasks error messages". `what` are the words of the service's event.
pub(crate) fn replace(ecs: &Ecs, state: &mut State, task: &str, what: &str, reason: &str) {
    let Some(arn) = state.tasks.get(task).filter(|task| !task.is_stopping()).map(|t| t.service_arn.clone())
    else {
        return;
    };
    tasks::request_stop(ecs, state, task, StopCode::ServiceSchedulerInitiated, reason);
    if let Some(service) = state.services.get_mut(&arn) {
        service.steady = false;
        service.announce(ecs, &format!("(task {}) {what}", crate::short_name(task)));
        // "or if it fails any of its defined health checks and is stopped": API Reference, `Deployment$failedTasks`.
        service.deployment.failed_tasks += 1;
        give_up_if_failed(ecs, service);
    }
    reconcile(ecs, state, &arn);
}

/// Tells and counts a task that had a place and could not start. The service has the same words for it, as seen on AWS
/// with `ResourceInitializationError` and `CannotPullContainerError`.
pub(crate) fn task_not_started(ecs: &Ecs, state: &mut State, arn: &str, reason: &str) {
    if let Some(service) = state.services.get_mut(arn) {
        announce_no_place(ecs, service, reason);
        task_failed(ecs, state, arn);
    }
}

/// Counts a task that could not start: the deployment may fail of it, and the next try comes later.
fn task_failed(ecs: &Ecs, state: &mut State, arn: &str) {
    let Some(service) = state.services.get_mut(arn) else { return };
    service.failures += 1;
    // When a task has run, only health checks count: Developer Guide, "How the Amazon ECS deployment circuit breaker detects
    // failures", stages 1 and 2.
    if !service.deployment.has_run {
        service.deployment.failed_tasks += 1;
        if give_up_if_failed(ecs, service) {
            return;
        }
    }
    if service.failures == IMPAIRED_AFTER {
        service.announce(ecs, "is unable to consistently start tasks successfully.");
        announce_action(ecs, service, action(ecs, service, "WARN", "SERVICE_TASK_START_IMPAIRED"));
    }
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(service.failures - 1)).min(LONGEST_PAUSE);
    let clock = ecs.upstream.clock;
    service.retry_at = clock.instant() + clock.scale.real(pause);
    let (retry_at, again, arn) = (service.retry_at, ecs.clone(), arn.to_owned());
    ecs.spawn(async move {
        tokio::time::sleep_until(retry_at).await;
        reconcile(&again, &mut again.state(), &arn);
    });
}

/// Ends the deployment if so many tasks have failed, and tells whether. The circuit breaker is for a deployment that has not
/// completed: Developer Guide, "How the Amazon ECS deployment circuit breaker detects failures". There is no earlier
/// deployment here to roll back to.
fn give_up_if_failed(ecs: &Ecs, service: &mut Service) -> bool {
    let breaker = breaker(service).filter(|breaker| breaker.enable);
    let Some(threshold) = breaker.map(|breaker| threshold(breaker, service.desired)) else { return false };
    if service.deployment.rollout != Rollout::InProgress || service.deployment.failed_tasks < threshold {
        return false;
    }
    let failed = format!("(deployment {}) deployment failed: tasks failed to start.", service.deployment.id);
    service.announce(ecs, &failed);
    conclude(ecs, service, Rollout::Failed);
    true
}

fn breaker(service: &Service) -> Option<&CircuitBreaker> {
    service.request.deployment_configuration.as_ref()?.deployment_circuit_breaker.as_ref()
}

/// How many failed tasks end a deployment: API Reference, `ThresholdConfiguration`, and for the bounds
/// `ServiceDeploymentCircuitBreaker$threshold`. How AWS rounds is not documented.
fn threshold(breaker: &CircuitBreaker, desired: u32) -> u32 {
    let share = |percent: u32| desired.saturating_mul(percent).div_ceil(100);
    match breaker.threshold_configuration {
        None => share(50).clamp(3, 200),
        Some(ThresholdConfiguration { kind: ThresholdType::BoundedPercent, value }) => {
            share(value).clamp(3, 200)
        }
        Some(ThresholdConfiguration { kind: ThresholdType::UnboundedPercent, value }) => share(value).max(1),
        Some(ThresholdConfiguration { kind: ThresholdType::Count, value }) => value,
    }
}

fn conclude(ecs: &Ecs, service: &mut Service, rollout: Rollout) {
    service.deployment.rollout = rollout;
    service.deployment.updated_at = ecs.now();
    announce_deployment(ecs, service);
}

/// "ECS Deployment State Change": Developer Guide, "Amazon ECS service deployment state change events".
pub(crate) fn announce_deployment(ecs: &Ecs, service: &Service) {
    let (kind, name) = match service.deployment.rollout {
        Rollout::InProgress => ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
        Rollout::Completed => ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
        Rollout::Failed => ("ERROR", "SERVICE_DEPLOYMENT_FAILED"),
    };
    let detail = json!({
        "eventType": kind,
        "eventName": name,
        "deploymentId": service.deployment.id,
        "updatedAt": iso(service.deployment.updated_at),
        "reason": service.deployment.reason(),
    });
    ecs.bus.put("aws.ecs", "ECS Deployment State Change", vec![service.arn.clone()], detail);
}

/// "ECS Service Action": Developer Guide, "Amazon ECS service action events".
fn announce_action(ecs: &Ecs, service: &Service, detail: Value) {
    ecs.bus.put("aws.ecs", "ECS Service Action", vec![service.arn.clone()], detail);
}

/// What all service actions tell.
fn action(ecs: &Ecs, service: &Service, kind: &str, name: &str) -> Value {
    json!({
        "eventType": kind,
        "eventName": name,
        "clusterArn": service.cluster_arn,
        "createdAt": iso(ecs.now()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(threshold_configuration: Option<ThresholdConfiguration>) -> impl Fn(u32) -> u32 {
        let breaker = CircuitBreaker {
            enable: true,
            rollback: false,
            reset_on_healthy_task: None,
            threshold_configuration,
        };
        move |desired| threshold(&breaker, desired)
    }

    #[test]
    fn half_of_the_tasks_may_fail_but_three_at_least_and_two_hundred_at_most() {
        assert_eq!([1, 6, 25, 400, 1000].map(with(None)), [3, 3, 13, 200, 200]);
    }

    #[test]
    fn a_threshold_is_a_count_or_a_share_of_the_tasks_that_are_desired() {
        let given = |kind, value| with(Some(ThresholdConfiguration { kind, value }));
        assert_eq!([1, 10].map(given(ThresholdType::Count, 2)), [2, 2]);
        assert_eq!([1, 10].map(given(ThresholdType::BoundedPercent, 40)), [3, 4]);
        assert_eq!([1, 10].map(given(ThresholdType::UnboundedPercent, 20)), [1, 2]);
    }
}
