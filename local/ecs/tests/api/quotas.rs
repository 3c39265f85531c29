//! What the account may run at once.

use aws_sdk_ecs::types::CapacityProviderStrategyItem;
use local_ecs::Quotas;
use serde_json::json;

use crate::cloud::{CLUSTER, Cloud, eventually};

const REACHED: &str = "You’ve reached the limit on the number of vCPUs you can run concurrently";

/// A quota of one vCPU of each kind, which is four of the tests' tasks.
async fn small_account() -> (Cloud, String) {
    let cloud = Cloud::with_quotas(Quotas { on_demand_vcpus: 1, spot_vcpus: 1, ..Quotas::default() }).await;
    let providers = ["FARGATE", "FARGATE_SPOT"].map(str::to_owned).to_vec();
    let cluster = cloud.ecs.create_cluster().cluster_name("other").set_capacity_providers(Some(providers));
    cluster.send().await.unwrap();
    eventually("an active cluster", || async {
        let answer = cloud.ecs.describe_clusters().clusters("other").send().await.unwrap();
        (answer.clusters()[0].status() == Some("ACTIVE")).then_some(())
    })
    .await;
    let definition = cloud.register("sleep").await;
    (cloud, definition)
}

async fn runs(cloud: &Cloud, cluster: &str, service: &str, count: i32) {
    eventually(&format!("{count} tasks of {service}"), || async {
        let service = cloud.cluster(cluster).describe(service).await;
        (service.running_count() == count && service.pending_count() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_beyond_the_vcpus_of_its_kind_waits_for_others_to_stop_in_whatever_cluster() {
    let (cloud, definition) = small_account().await;
    cloud.service("first", &definition).desired_count(4).send().await.unwrap();
    runs(&cloud, CLUSTER, "first", 4).await;
    let other = cloud.cluster("other");
    other.service("second", &definition).send().await.unwrap();
    let refused = eventually("a refusal", || async {
        let service = other.describe("second").await;
        service.events().iter().any(|event| event.message().unwrap().contains(REACHED)).then_some(service)
    })
    .await;
    assert!(other.tasks("second").await.is_empty());
    let message = refused.events().last().unwrap().message().unwrap().to_owned();
    assert!(message.starts_with("(service second) was unable to place a task. Reason: You"), "{message}");
    assert!(refused.deployments()[0].failed_tasks() > 0, "such a try counts as a failed task");
    let failure = eventually("the event of the refusal", || async {
        let mut actions = cloud.events("ECS Service Action").into_iter();
        actions.find(|event| event["eventName"] == "SERVICE_TASK_PLACEMENT_FAILURE")
    })
    .await;
    assert_eq!(failure["clusterArn"], "arn:aws:ecs:eu-west-1:111122223333:cluster/other");
    let spot = "arn:aws:ecs:eu-west-1:111122223333:capacity-provider/FARGATE_SPOT";
    assert_eq!(failure["capacityProviderArns"], json!([spot]));

    cloud.ecs.delete_service().cluster(CLUSTER).service("first").force(true).send().await.unwrap();
    runs(&cloud, "other", "second", 1).await;
}

#[tokio::test]
async fn on_demand_and_spot_have_a_quota_each() {
    let (cloud, definition) = small_account().await;
    cloud.service("spot", &definition).desired_count(5).send().await.unwrap();
    let on_demand = CapacityProviderStrategyItem::builder().capacity_provider("FARGATE").weight(1);
    let service = cloud.service("on-demand", &definition).desired_count(5);
    let service = service.set_capacity_provider_strategy(Some(vec![on_demand.build().unwrap()]));
    service.send().await.unwrap();
    for service in ["spot", "on-demand"] {
        runs(&cloud, CLUSTER, service, 4).await;
        let events = cloud.describe(service).await;
        let mut messages = events.events().iter().filter_map(|event| event.message());
        assert!(messages.any(|message| message.contains(REACHED)), "{service}");
    }
}
