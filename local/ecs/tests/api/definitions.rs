//! Task definitions, over the wire with the AWS SDK.

use crate::cloud::{CLUSTER, Cloud, eventually, refusal};
use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, LinuxParameters, NetworkMode, TaskDefinitionStatus,
};

#[tokio::test]
async fn a_definition_is_active_then_inactive_then_gone() {
    let cloud = Cloud::start().await;
    let arn = cloud.register("sleep").await;
    assert!(arn.ends_with(":task-definition/sleep:1"));
    let list = async |status: TaskDefinitionStatus| {
        let list =
            cloud.ecs.list_task_definitions().family_prefix("sleep").status(status).send().await.unwrap();
        list.task_definition_arns.unwrap()
    };
    let delete = async || cloud.ecs.delete_task_definitions().task_definitions(&arn).send().await.unwrap();
    let reason = "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
    assert_eq!(delete().await.failures()[0].reason(), Some(reason));

    cloud.service("job", &arn).send().await.unwrap();
    let deregister = || cloud.ecs.deregister_task_definition();
    assert_eq!(refusal(deregister().task_definition("sleep").send().await).0, "ClientException");
    let inactive = deregister().task_definition("sleep:1").send().await.unwrap().task_definition.unwrap();
    assert_eq!(inactive.status(), Some(&TaskDefinitionStatus::Inactive));
    assert!(list(TaskDefinitionStatus::Active).await.is_empty());
    assert_eq!(list(TaskDefinitionStatus::Inactive).await, [arn.as_str()]);
    assert_eq!(refusal(cloud.service("late", &arn).send().await).1, "TaskDefinition is inactive");

    delete().await;
    let describe = || cloud.ecs.describe_task_definition().task_definition("sleep:1");
    let used = describe().send().await.unwrap().task_definition.unwrap();
    assert_eq!(used.status(), Some(&TaskDefinitionStatus::DeleteInProgress));
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    let (code, message) = eventually("the end of the definition", || async {
        describe().send().await.err().map(|e| refusal(Err::<(), _>(e)))
    })
    .await;
    assert_eq!((code.as_str(), message.as_str()), ("ClientException", "Unable to describe task definition."));
    assert!(cloud.register("sleep").await.ends_with("sleep:2"), "a revision's number is not used again");
}

#[tokio::test]
async fn a_definition_may_ask_for_an_init_process_and_for_no_other_linux_parameter() {
    let cloud = Cloud::start().await;
    let register = async |parameters: LinuxParameters| {
        let container = ContainerDefinition::builder().name("c").image("sleep").linux_parameters(parameters);
        let request =
            cloud.ecs.register_task_definition().family("f").container_definitions(container.build());
        let request = request.requires_compatibilities(Compatibility::Fargate);
        request.network_mode(NetworkMode::Awsvpc).cpu("256").memory("512").send().await
    };
    let parameters = LinuxParameters::builder().init_process_enabled(true);
    let registered = register(parameters.clone().build()).await.unwrap().task_definition.unwrap();
    let container = &registered.container_definitions()[0];
    assert_eq!(container.linux_parameters(), Some(&parameters.clone().build()));
    let (code, message) = refusal(register(parameters.max_swap(1).build()).await);
    assert_eq!(code, "ClientException");
    assert!(message.contains("linuxParameters.maxSwap: unknown field `maxSwap`"), "{message}");
}

#[tokio::test]
async fn what_is_not_supported_is_named() {
    let cloud = Cloud::start().await;
    let container = ContainerDefinition::builder().name("c").image("sleep").privileged(true).build();
    let request = cloud.ecs.register_task_definition().family("f").container_definitions(container);
    let (code, message) = refusal(request.send().await);
    assert_eq!(code, "ClientException");
    assert!(message.contains("containerDefinitions[0].privileged: unknown field `privileged`"), "{message}");
    let (code, message) = refusal(cloud.ecs.list_account_settings().send().await);
    assert_eq!(code, "UnknownOperationException");
    assert!(message.contains("ListAccountSettings"), "{message}");
}
