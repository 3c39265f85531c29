//! Clusters from their creation to their end, several side by side, over the wire with the AWS SDK.

use std::collections::HashSet;

use aws_sdk_ecs::types::{
    CapacityProviderStrategyItem, ClusterField, ClusterSetting, ClusterSettingName, Tag,
};
use local_ecs::Quotas;

use crate::cloud::{ACCOUNT, CLUSTER, Cloud, REGION, STANDSTILL, eventually, refusal};

const PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

fn arn(cluster: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}")
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// A new cluster with Fargate's providers, as soon as it is ACTIVE.
async fn create(cloud: &Cloud, name: &str) {
    let request = cloud.ecs.create_cluster().cluster_name(name).tags(tag("mayfly:job", name));
    request.set_capacity_providers(Some(PROVIDERS.map(str::to_owned).to_vec())).send().await.unwrap();
    become_of(cloud, name, "ACTIVE").await;
}

async fn become_of(cloud: &Cloud, name: &str, status: &str) {
    eventually(&format!("{name} to be {status}"), || async {
        let answer = cloud.ecs.describe_clusters().clusters(name).send().await.unwrap();
        (answer.clusters()[0].status() == Some(status)).then_some(())
    })
    .await;
}

async fn delete(cloud: &Cloud, name: &str) -> (String, String) {
    refusal(cloud.ecs.delete_cluster().cluster(name).send().await)
}

async fn listed(cloud: &Cloud) -> Vec<String> {
    cloud.ecs.list_clusters().send().await.unwrap().cluster_arns.unwrap()
}

#[tokio::test]
async fn a_cluster_is_provisioned_used_and_deleted() {
    // Fast enough to see the end of the hour for which a deleted cluster is remembered.
    let cloud = Cloud::at_scale(0.001).await;
    let strategy = CapacityProviderStrategyItem::builder().capacity_provider("FARGATE_SPOT").weight(1);
    let setting = ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value("enhanced");
    let create = || {
        let request = cloud.ecs.create_cluster().cluster_name("job").tags(tag("mayfly:job", "j"));
        let request = request.set_capacity_providers(Some(PROVIDERS.map(str::to_owned).to_vec()));
        let strategy = strategy.clone().build().unwrap();
        request.default_capacity_provider_strategy(strategy).settings(setting.clone().build())
    };
    let created = create().send().await.unwrap().cluster.unwrap();
    assert_eq!(created.cluster_arn(), Some(arn("job").as_str()));
    assert_eq!(created.status(), Some("PROVISIONING"));
    assert_eq!(created.capacity_providers(), PROVIDERS);
    assert_eq!(created.default_capacity_provider_strategy()[0].capacity_provider(), "FARGATE_SPOT");
    assert_eq!(created.settings()[0].value(), Some("enhanced"));
    assert_eq!(created.tags(), [tag("mayfly:job", "j")]);
    become_of(&cloud, "job", "ACTIVE").await;
    assert_eq!(listed(&cloud).await, [arn("job"), arn(CLUSTER)]);

    let describe = || cloud.ecs.describe_clusters().clusters(arn("job"));
    let described = describe().include(ClusterField::Tags).send().await.unwrap().clusters.unwrap();
    assert_eq!(described[0].tags(), created.tags());
    let tags = cloud.ecs.list_tags_for_resource().resource_arn(arn("job")).send().await.unwrap();
    assert_eq!(tags.tags(), created.tags());

    let deleted = cloud.ecs.delete_cluster().cluster("job").send().await.unwrap().cluster.unwrap();
    assert_eq!(deleted.status(), Some("DEPROVISIONING"));
    become_of(&cloud, "job", "INACTIVE").await;
    assert_eq!(listed(&cloud).await, [arn(CLUSTER)]);
    let again = cloud.ecs.delete_cluster().cluster("job").send().await.unwrap().cluster.unwrap();
    assert_eq!(again.status(), Some("INACTIVE"), "an answer, not an error");
    eventually("the end of what AWS remembers", || async {
        (describe().send().await.unwrap().failures().first()?.reason() == Some("MISSING")).then_some(())
    })
    .await;
    assert_eq!(delete(&cloud, "job").await.0, "ClusterNotFoundException");
}

#[tokio::test]
async fn a_cluster_without_capacity_providers_is_ready_and_gone_at_once() {
    let cloud = Cloud::start().await;
    let created = cloud.ecs.create_cluster().send().await.unwrap().cluster.unwrap();
    assert_eq!((created.cluster_name(), created.status()), (Some("default"), Some("ACTIVE")));
    let definition = cloud.register("sleep").await;
    let (code, message) = refusal(cloud.cluster("default").service("job", &definition).send().await);
    assert_eq!(code, "InvalidParameterException");
    assert!(message.contains("'FARGATE_SPOT' was not found, or is not associated"), "{message}");
    let deleted = cloud.ecs.delete_cluster().cluster("default").send().await.unwrap().cluster.unwrap();
    assert_eq!(deleted.status(), Some("INACTIVE"));
    let created = cloud.ecs.create_cluster().send().await.unwrap().cluster.unwrap();
    assert_eq!(created.status(), Some("ACTIVE"), "the name is free again");
}

#[tokio::test]
async fn a_name_in_use_gives_the_cluster_that_has_it() {
    let cloud = Cloud::start().await;
    create(&cloud, "job").await;
    for (name, tags) in [("job", [tag("mayfly:job", "job")]), (CLUSTER, [tag("mayfly:stack", "s")])] {
        let again = cloud.ecs.create_cluster().cluster_name(name).tags(tag("mayfly:job", "other"));
        let again = again.send().await.unwrap().cluster.unwrap();
        assert_eq!((again.status(), again.tags()), (Some("ACTIVE"), tags.as_slice()));
        assert_eq!(again.capacity_providers(), PROVIDERS);
    }
}

#[tokio::test]
async fn a_cluster_that_is_not_active_takes_no_service_and_no_deletion() {
    let cloud = Cloud::at_scale(STANDSTILL).await;
    let definition = cloud.register("sleep").await;
    let request = cloud.ecs.create_cluster().cluster_name("job").capacity_providers("FARGATE_SPOT");
    request.send().await.unwrap();
    let busy = delete(&cloud, "job").await;
    assert_eq!(busy.0, "UpdateInProgressException");
    assert!(busy.1.contains("Wait and try again."), "{}", busy.1);
    let service = refusal(cloud.cluster("job").service("job", &definition).send().await);
    assert_eq!(service, ("ClientException".to_owned(), "Cluster was not ACTIVE.".to_owned()));
}

#[tokio::test]
async fn a_cluster_with_an_active_or_draining_service_is_not_deleted() {
    let cloud = Cloud::at_scale(STANDSTILL).await;
    let definition = cloud.register("sleep").await;
    cloud.service("job", &definition).send().await.unwrap();
    let refused = (
        "ClusterContainsServicesException".to_owned(),
        "The Cluster cannot be deleted while Services are active.".to_owned(),
    );
    assert_eq!(delete(&cloud, CLUSTER).await, refused);
    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    assert_eq!(cloud.describe("job").await.status(), Some("DRAINING"));
    assert_eq!(delete(&cloud, CLUSTER).await, refused);
}

/// A cluster `job` whose service is deleted when its task runs.
async fn used_up(cloud: &Cloud) -> crate::cloud::Cluster<'_> {
    create(cloud, "job").await;
    let (definition, cluster) = (cloud.register("sleep").await, cloud.cluster("job"));
    cluster.service("job", &definition).send().await.unwrap();
    cluster.task_in("job", "RUNNING").await;
    cloud.ecs.delete_service().cluster("job").service("job").force(true).send().await.unwrap();
    cluster
}

#[tokio::test]
async fn a_cluster_is_not_deleted_before_the_last_end_of_its_tasks() {
    let cloud = Cloud::where_tasks_do_not_end().await;
    let cluster = used_up(&cloud).await;
    cluster.task_in("job", "DEPROVISIONING").await;
    assert_eq!(cluster.describe("job").await.status(), Some("INACTIVE"));
    let tasks = "The Cluster cannot be deleted while Tasks are active.".to_owned();
    assert_eq!(delete(&cloud, "job").await, ("ClusterContainsTasksException".to_owned(), tasks));
}

#[tokio::test]
async fn a_cluster_in_which_all_has_ended_is_deleted_and_takes_nothing_new() {
    let cloud = Cloud::start().await;
    used_up(&cloud).await.task_in("job", "STOPPED").await;
    cloud.ecs.delete_cluster().cluster("job").send().await.expect("nothing is in it any more");
    become_of(&cloud, "job", "INACTIVE").await;
    let inactive = ("ClusterNotFoundException".to_owned(), "The referenced cluster was inactive.".to_owned());
    assert_eq!(refusal(cloud.cluster("job").service("late", "sleep").send().await), inactive);
    assert_eq!(refusal(cloud.ecs.list_tasks().cluster("job").send().await), inactive);
    assert_eq!(refusal(cloud.ecs.list_services().cluster("job").send().await), inactive);
    let describe = cloud.ecs.describe_services().cluster("job").services("job");
    assert_eq!(refusal(describe.send().await), inactive);
}

#[tokio::test]
async fn each_cluster_has_its_own_services_tasks_and_events() {
    let cloud = Cloud::start().await;
    let definition = cloud.register("sleep").await;
    let clusters = ["a", "b"];
    for cluster in clusters {
        create(&cloud, cluster).await;
        cloud.cluster(cluster).service("job", &definition).send().await.unwrap();
    }
    let mut seen = HashSet::new();
    for cluster in clusters {
        let task = cloud.cluster(cluster).task_in("job", "RUNNING").await;
        assert_eq!(task.cluster_arn(), Some(arn(cluster).as_str()));
        let task = task.task_arn().unwrap().to_owned();
        assert!(task.contains(&format!(":task/{cluster}/")) && seen.insert(task.clone()));
        let service = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/{cluster}/job");
        let services = cloud.ecs.list_services().cluster(cluster).send().await.unwrap();
        assert_eq!(services.service_arns(), [service.as_str()]);
        let tasks = cloud.ecs.list_tasks().cluster(cluster).family("sleep").send().await.unwrap();
        assert_eq!(tasks.task_arns(), [task.as_str()]);
        let described = cloud.ecs.describe_clusters().clusters(cluster).send().await.unwrap();
        let described = &described.clusters()[0];
        assert_eq!((described.running_tasks_count(), described.active_services_count()), (1, 1));

        let other = clusters.into_iter().find(|other| *other != cluster);
        let elsewhere = cloud.ecs.describe_tasks().set_cluster(other.map(str::to_owned)).tasks(&task);
        assert_eq!(elsewhere.send().await.unwrap().failures()[0].reason(), Some("MISSING"));
    }
    cloud.ecs.delete_service().cluster("a").service("job").force(true).send().await.unwrap();
    cloud.cluster("a").task_in("job", "STOPPED").await;
    assert_eq!(cloud.cluster("b").describe("job").await.running_count(), 1, "the other one runs on");
    for kind in ["ECS Task State Change", "ECS Service Action"] {
        eventually(&format!("{kind} of both clusters"), || async {
            let events = cloud.events(kind);
            let told: HashSet<_> = events.iter().map(|event| event["clusterArn"].as_str().unwrap()).collect();
            (told == clusters.map(arn).iter().map(String::as_str).collect()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_role_needs_the_right_tags_for_a_cluster_and_the_right_cluster() {
    let cloud = Cloud::start().await;
    let tagger = cloud.as_role("tagger").await;
    let send = async |name: &str, tags: Vec<Tag>| {
        tagger.create_cluster().cluster_name(name).set_tags(Some(tags)).send().await
    };
    let denied = |(code, message): (String, String), action: &str, resource: &str| {
        assert_eq!(code, "AccessDeniedException");
        let words = format!("not authorized to perform: {action} on resource: {resource}");
        assert!(message.contains(&words), "{message}");
    };
    let stack = || vec![tag("mayfly:stack", "s")];
    denied(refusal(send("own-1", Vec::new()).await), "ecs:CreateCluster", &arn("own-1"));
    denied(refusal(send("own-1", vec![tag("mayfly:stack", "t")]).await), "ecs:CreateCluster", &arn("own-1"));
    denied(refusal(send("other", stack()).await), "ecs:TagResource", &arn("other"));
    send("own-1", stack()).await.unwrap();
    create(&cloud, "job").await;
    tagger.list_services().cluster("own-1").send().await.unwrap();
    denied(refusal(tagger.list_services().cluster("job").send().await), "ecs:ListServices", "*");
    denied(refusal(tagger.delete_cluster().cluster("job").send().await), "ecs:DeleteCluster", &arn("job"));
    tagger.delete_cluster().cluster("own-1").send().await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_cannot_be_made_or_deleted_is_refused() {
    let cloud = Cloud::start().await;
    let create = || cloud.ecs.create_cluster().cluster_name("job");
    let item = |name: &str| {
        CapacityProviderStrategyItem::builder().capacity_provider(name).weight(1).build().unwrap()
    };
    let setting = ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value("on").build();
    let cases = [
        (create().cluster_name("a.b"), "InvalidParameterException", "Invalid cluster name"),
        (create().tags(tag("aws:x", "y")), "InvalidParameterException", "reserved"),
        (create().capacity_providers("mine"), "InvalidParameterException", "'mine' was not found"),
        (
            create().capacity_providers("FARGATE").default_capacity_provider_strategy(item("FARGATE_SPOT")),
            "InvalidParameterException",
            "not associated with the cluster",
        ),
        (create().settings(setting), "ClientException", "settings[0].value: unknown variant `on`"),
    ];
    for (request, code, message) in cases {
        let refusal = refusal(request.send().await);
        assert_eq!(refusal.0, code, "{refusal:?}");
        assert!(refusal.1.contains(message), "{refusal:?}");
    }
    let (code, message) = delete(&cloud, CLUSTER).await;
    assert_eq!(code, "UnsupportedFeatureException");
    assert!(message.contains("the cluster stack, which is MiniStack's"), "{message}");
    assert_eq!(delete(&cloud, "unknown").await.0, "ClusterNotFoundException");
}

#[tokio::test]
async fn clusters_have_a_quota_and_a_rate_of_their_own() {
    let cloud = Cloud::with_quotas(Quotas { clusters: 2, ..Quotas::default() }).await;
    create(&cloud, "a").await;
    create(&cloud, "b").await;
    let more = || cloud.ecs.create_cluster().cluster_name("c").send();
    assert_eq!(refusal(more().await).0, "LimitExceededException");
    cloud.ecs.delete_cluster().cluster("a").send().await.unwrap();
    become_of(&cloud, "a", "INACTIVE").await;
    more().await.expect("what is deleted does not count");

    // Slowly enough for the bucket not to refill.
    let cloud = Cloud::at_scale(100.0).await;
    for _ in 0..20 {
        assert_eq!(delete(&cloud, "unknown").await.0, "ClusterNotFoundException");
    }
    assert_eq!(delete(&cloud, "unknown").await.0, "ThrottlingException");
}
