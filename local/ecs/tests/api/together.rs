//! Tasks of more than one container.

use aws_sdk_ecs::types::builders::ContainerDefinitionBuilder;
use aws_sdk_ecs::types::{
    Container, ContainerCondition, ContainerDefinition, ContainerDependency, KeyValuePair, LinuxParameters,
    MountPoint, RepositoryCredentials, Task, TaskStopCode,
};
use serde_json::{Value, json};

use crate::cloud::{ACCOUNT, CLUSTER, Cloud, REGION, eventually, logs, refusal};

/// Where the containers of the tests have the volume that they share.
const SHARED: &str = "/.shared";

/// A container that runs `script` and has the volume, which the script finds in the variable `SHARED`.
fn container(name: &str, script: &str) -> ContainerDefinitionBuilder {
    let mount = MountPoint::builder().source_volume("shared").container_path(SHARED);
    let variable = KeyValuePair::builder().name("SHARED").value(SHARED).build();
    ContainerDefinition::builder()
        .name(name)
        .environment(variable)
        .image(format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shell"))
        .command(script)
        .stop_timeout(20)
        .linux_parameters(LinuxParameters::builder().init_process_enabled(true).build())
        .mount_points(mount.build())
        .log_configuration(logs("group"))
}

/// The same, but its end matters to nobody.
fn aside(name: &str, script: &str) -> ContainerDefinitionBuilder {
    container(name, script).essential(false)
}

fn on(name: &str, condition: ContainerCondition) -> ContainerDependency {
    ContainerDependency::builder().container_name(name).condition(condition).build().unwrap()
}

/// A service of tasks of these containers.
async fn run(cloud: &Cloud, containers: impl IntoIterator<Item = ContainerDefinitionBuilder>) {
    let definition = cloud.register_together("together", "task", containers, &["shared"]).await;
    cloud.service("job", &definition).send().await.unwrap();
}

async fn delete(cloud: &Cloud) {
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
}

fn of<'a>(task: &'a Task, name: &str) -> &'a Container {
    task.containers().iter().find(|container| container.name() == Some(name)).unwrap()
}

/// What a container of a task has written into its log.
fn told(cloud: &Cloud, task: &Task, container: &str) -> Vec<String> {
    let id = task.task_arn().unwrap().rsplit('/').next().unwrap();
    let seen = cloud.seen.lock().unwrap();
    seen.logs.get(&format!("jobs/{container}/{id}")).cloned().unwrap_or_default()
}

/// The states of task and containers that the events of the first task tell, one after another.
fn states(cloud: &Cloud) -> Vec<Value> {
    let mut events = cloud.events("ECS Task State Change");
    let first = events[0]["taskArn"].clone();
    // They come in no order.
    events.sort_by_key(|event| event["version"].as_u64());
    let mut states: Vec<_> = events
        .iter()
        .filter(|event| event["taskArn"] == first)
        .map(|event| {
            let containers = event["containers"].as_array().unwrap().iter();
            let containers: Vec<_> = containers.map(|one| one["lastStatus"].clone()).collect();
            json!([event["lastStatus"], containers])
        })
        .collect();
    states.dedup();
    states
}

#[tokio::test]
async fn a_container_is_started_when_what_it_depends_on_has_ended_well() {
    let cloud = Cloud::start().await;
    let init = aside("init", "echo brought; echo tool > $SHARED/tool");
    let job = container("job", "cat $SHARED/tool; exec sleep 600")
        .depends_on(on("init", ContainerCondition::Success));
    // The order of the definition is none.
    run(&cloud, [job, init.start_timeout(120)]).await;
    let task = cloud.task_in("job", "RUNNING").await;
    assert_eq!((of(&task, "init").last_status(), of(&task, "init").exit_code()), (Some("STOPPED"), Some(0)));
    assert_eq!((of(&task, "job").last_status(), of(&task, "job").exit_code()), (Some("RUNNING"), None));
    assert_ne!(of(&task, "job").runtime_id(), of(&task, "init").runtime_id());
    assert_ne!(of(&task, "job").container_arn(), of(&task, "init").container_arn());
    let lines = eventually("what it found", || async {
        Some(told(&cloud, &task, "job")).filter(|lines| !lines.is_empty())
    });
    assert_eq!(lines.await, ["tool"]);
    assert_eq!(told(&cloud, &task, "init"), ["brought"]);

    delete(&cloud).await;
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!((of(&stopped, "init").exit_code(), of(&stopped, "job").exit_code()), (Some(0), Some(143)));
    eventually("the last event", || async {
        (states(&cloud).last().is_some_and(|last| last[0] == "STOPPED")).then_some(())
    })
    .await;
    assert_eq!(
        states(&cloud),
        [
            json!(["PROVISIONING", ["PENDING", "PENDING"]]),
            json!(["PENDING", ["PENDING", "PENDING"]]),
            json!(["ACTIVATING", ["PENDING", "PENDING"]]),
            json!(["ACTIVATING", ["PENDING", "RUNNING"]]),
            json!(["ACTIVATING", ["PENDING", "STOPPED"]]),
            json!(["RUNNING", ["RUNNING", "STOPPED"]]),
            json!(["DEACTIVATING", ["RUNNING", "STOPPED"]]),
            json!(["STOPPING", ["RUNNING", "STOPPED"]]),
            json!(["STOPPING", ["STOPPED", "STOPPED"]]),
            json!(["DEPROVISIONING", ["STOPPED", "STOPPED"]]),
            json!(["STOPPED", ["STOPPED", "STOPPED"]]),
        ]
    );
    let volumes = cloud.folder(&stopped).with_file_name(".volumes");
    assert!(!volumes.exists(), "they are gone with the task");
}

#[tokio::test]
async fn a_container_never_starts_when_what_it_depends_on_has_failed() {
    let cloud = Cloud::start().await;
    let job = container("job", "sleep 600").depends_on(on("init", ContainerCondition::Success));
    run(&cloud, [aside("init", "echo no space >&2; exit 3"), job]).await;
    let task = cloud.task_in("job", "STOPPED").await;
    assert_eq!(task.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
    assert_eq!(task.stopped_reason(), Some("Task failed to start"));
    assert_eq!((of(&task, "init").exit_code(), of(&task, "job").exit_code()), (Some(3), Some(143)));
    let image = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shell");
    let words = format!(
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [init({image}) \
         (STOPPED->RUNNING) - Exit: 3] for target [job({image}) (NONE->RUNNING)] as dependency did not exit successfully."
    );
    assert_eq!(of(&task, "job").reason(), Some(words.as_str()));
    assert!(of(&task, "init").reason().is_none() && task.started_at().is_none());
    assert_eq!(told(&cloud, &task, "init"), ["no space"]);
    assert!(told(&cloud, &task, "job").is_empty());
}

#[tokio::test]
async fn a_container_gives_up_on_what_does_not_end_in_time() {
    let cloud = Cloud::start().await;
    let job = container("job", "sleep 600").depends_on(on("init", ContainerCondition::Complete));
    run(&cloud, [aside("init", "exec sleep 600").start_timeout(2), job]).await;
    let task = cloud.task_in("job", "STOPPED").await;
    assert_eq!(task.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
    let reason = of(&task, "job").reason().unwrap();
    assert!(reason.contains("(RUNNING->RUNNING)] for target ["), "{reason}");
    assert!(reason.ends_with(" has timed out."), "{reason}");
    assert_eq!((of(&task, "init").exit_code(), of(&task, "job").exit_code()), (Some(143), Some(143)));
}

#[tokio::test]
async fn a_task_fails_with_the_image_of_any_of_its_containers() {
    let cloud = Cloud::start().await;
    let init = aside("init", "true").image("ghcr.io/a/missing");
    let job = container("job", "sleep 600").depends_on(on("init", ContainerCondition::Success));
    run(&cloud, [job, init]).await;
    let task = cloud.task_in("job", "STOPPED").await;
    let reason = task.stopped_reason().unwrap();
    assert!(
        reason.starts_with("CannotPullContainerError: ") && reason.contains("ghcr.io/a/missing"),
        "{reason}"
    );
    assert_eq!((of(&task, "init").reason(), of(&task, "job").reason()), (Some(reason), None));
    assert!(task.containers().iter().all(|container| container.exit_code().is_none()));
}

#[tokio::test]
async fn only_the_end_of_an_essential_container_ends_the_task() {
    let cloud = Cloud::start().await;
    let job = container("job", "until [ -e $SHARED/end ]; do sleep 0.05; done; exit 5");
    run(&cloud, [aside("short", "exit 4"), job, aside("long", "exec sleep 600")]).await;
    let task = eventually("the end of one", || async {
        let task = cloud.task_in("job", "RUNNING").await;
        (of(&task, "short").last_status() == Some("STOPPED")).then_some(task)
    })
    .await;
    assert_eq!(of(&task, "short").exit_code(), Some(4));
    assert_eq!(of(&task, "long").last_status(), Some("RUNNING"));
    let volume = cloud.folder(&task).with_file_name(".volumes").join("shared");
    std::fs::write(volume.join("end"), "").unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(stopped.stopped_reason(), Some("Essential container in task exited"));
    assert_eq!((of(&stopped, "job").exit_code(), of(&stopped, "long").exit_code()), (Some(5), Some(143)));
}

#[tokio::test]
async fn what_depends_on_a_container_stops_before_it() {
    let cloud = Cloud::start().await;
    let trap = |name: &str| {
        format!(
            "trap 'sleep 0.2; echo {name} >> $SHARED/order; exit 0' TERM; touch $SHARED/{name}; while :; do sleep 0.05; done"
        )
    };
    let all = "until [ -e $SHARED/database ] && [ -e $SHARED/job ]; do sleep 0.05; done; trap 'cat $SHARED/order' TERM; echo ready; while [ ! -e $SHARED/order ] || [ $(wc -l < $SHARED/order) -lt 2 ]; do sleep 0.05; done; cat $SHARED/order";
    let database =
        container("database", &trap("database")).depends_on(on("witness", ContainerCondition::Start));
    let job = container("job", &trap("job")).depends_on(on("database", ContainerCondition::Start));
    run(&cloud, [container("witness", all), database, job]).await;
    let task = cloud.task_in("job", "RUNNING").await;
    eventually("all traps", || async { (!told(&cloud, &task, "witness").is_empty()).then_some(()) }).await;
    delete(&cloud).await;
    cloud.task_in("job", "STOPPED").await;
    let lines = told(&cloud, &task, "witness");
    assert_eq!(lines[lines.len() - 2..], ["job", "database"]);
}

#[tokio::test]
async fn what_has_started_ends_with_a_task_that_is_stopped_on_its_way_up() {
    let cloud = Cloud::start().await;
    let job = container("job", "sleep 600").depends_on(on("init", ContainerCondition::Success));
    run(&cloud, [aside("init", "exec sleep 600"), job]).await;
    eventually("the first container", || async {
        let tasks = cloud.tasks("job").await;
        tasks.first().filter(|task| of(task, "init").last_status() == Some("RUNNING")).map(drop)
    })
    .await;
    delete(&cloud).await;
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!((of(&stopped, "init").exit_code(), of(&stopped, "job").exit_code()), (Some(143), None));
}

#[tokio::test]
async fn a_private_registrys_credentials_are_read_before_the_image_is_pulled() {
    let cloud = Cloud::start().await;
    let credentials = |secret: &str| {
        let arn = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{secret}");
        RepositoryCredentials::builder().credentials_parameter(arn).build().unwrap()
    };
    let job = container("job", "sleep 600");
    run(&cloud, [job.repository_credentials(credentials("s-AbCdEf"))]).await;
    let reason = cloud.task_in("job", "STOPPED").await.stopped_reason.unwrap();
    let words = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
                 unable to get registry auth from asm: ";
    assert!(reason.starts_with(words) && reason.contains("no JSON of a username and a password"), "{reason}");
    assert!(!reason.contains("p4ss"), "{reason}");
}

#[tokio::test]
async fn a_definition_says_what_its_containers_share() {
    let cloud = Cloud::start().await;
    let job = container("job", "true").user("0:0").readonly_root_filesystem(true);
    let arn = cloud.register_together("f", "task", [job], &["shared"]).await;
    let answer = cloud.ecs.describe_task_definition().task_definition(arn).send().await.unwrap();
    let definition = answer.task_definition.unwrap();
    assert_eq!(definition.volumes()[0].name(), Some("shared"));
    let container = &definition.container_definitions()[0];
    assert_eq!(container.mount_points()[0].container_path(), Some(SHARED));
    assert_eq!((container.user(), container.readonly_root_filesystem()), (Some("0:0"), Some(true)));
    let privileged = ContainerDefinition::builder().name("c").image("shell").working_directory("/").build();
    let request = cloud.ecs.register_task_definition().family("f").container_definitions(privileged);
    let (_, message) = refusal(request.send().await);
    assert!(message.contains("unknown field `workingDirectory`"), "{message}");
}
