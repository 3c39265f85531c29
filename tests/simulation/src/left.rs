//! What is there in an account that a stack did not bring with it, read by the account's root.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use aws_sdk_ecs::types::{DesiredStatus, TaskDefinitionStatus};
use mayfly_lambda::SdkConfig;

use crate::stack::DATA_BUCKET;

/// Every resource that lives, as `KIND ID`. What AWS describes for a while after it has gone is none.
///
/// # Errors
/// Where something cannot be listed.
pub async fn everything(root: &SdkConfig) -> Result<BTreeSet<String>> {
    let mut all = Box::pin(networks(&aws_sdk_ec2::Client::new(root))).await.context("EC2")?;
    all.extend(tasks(&aws_sdk_ecs::Client::new(root)).await.context("ECS")?);
    all.extend(balancers(&aws_sdk_elasticloadbalancingv2::Client::new(root)).await.context("ELB")?);
    all.extend(uploads(&aws_sdk_s3::Client::new(root)).await.context("S3")?);
    let queues = aws_sdk_sqs::Client::new(root).list_queues().into_paginator().items().send();
    all.extend(queues.collect::<Result<Vec<_>, _>>().await.context("SQS")?.into_iter().map(named("queue")));
    Ok(all)
}

/// As a receipt names them.
async fn uploads(s3: &aws_sdk_s3::Client) -> Result<BTreeSet<String>> {
    let page = s3.list_multipart_uploads().bucket(DATA_BUCKET).send().await?;
    let named = page.uploads().iter().map(|upload| {
        let (key, id) = (upload.key().unwrap_or_default(), upload.upload_id().unwrap_or_default());
        format!("upload s3://{DATA_BUCKET}/{key}?uploadId={id}")
    });
    Ok(named.collect())
}

fn named(kind: &'static str) -> impl Fn(String) -> String {
    move |id| format!("{kind} {id}")
}

async fn networks(ec2: &aws_sdk_ec2::Client) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    macro_rules! add {
        ($kind:literal, $list:expr, $id:ident) => {
            let listed = $list.await?;
            all.extend(listed.into_iter().filter_map(|one| one.$id).map(named($kind)));
        };
    }
    add!("vpc", collected(ec2.describe_vpcs().into_paginator().items().send()), vpc_id);
    add!("subnet", collected(ec2.describe_subnets().into_paginator().items().send()), subnet_id);
    add!("group", collected(ec2.describe_security_groups().into_paginator().items().send()), group_id);
    add!(
        "route table",
        collected(ec2.describe_route_tables().into_paginator().items().send()),
        route_table_id
    );
    add!(
        "internet gateway",
        collected(ec2.describe_internet_gateways().into_paginator().items().send()),
        internet_gateway_id
    );
    add!(
        "egress-only internet gateway",
        collected(ec2.describe_egress_only_internet_gateways().into_paginator().items().send()),
        egress_only_internet_gateway_id
    );
    add!(
        "interface",
        collected(ec2.describe_network_interfaces().into_paginator().items().send()),
        network_interface_id
    );
    let addresses = ec2.describe_addresses().send().await?.addresses.unwrap_or_default();
    all.extend(addresses.into_iter().filter_map(|address| address.allocation_id).map(named("address")));
    let gateways = collected(ec2.describe_nat_gateways().into_paginator().items().send()).await?;
    let live = |state: Option<&str>| !matches!(state, Some("deleted" | "failed" | "rejected" | "expired"));
    let gateways = gateways.into_iter().filter(|gateway| live(gateway.state().map(|state| state.as_str())));
    all.extend(gateways.filter_map(|gateway| gateway.nat_gateway_id).map(named("NAT gateway")));
    let endpoints = collected(ec2.describe_vpc_endpoints().into_paginator().items().send()).await?;
    let endpoints =
        endpoints.into_iter().filter(|endpoint| live(endpoint.state().map(|state| state.as_str())));
    all.extend(endpoints.filter_map(|endpoint| endpoint.vpc_endpoint_id).map(named("endpoint")));
    Ok(all)
}

async fn collected<T, E>(
    stream: aws_smithy_async::future::pagination_stream::PaginationStream<Result<T, E>>,
) -> Result<Vec<T>, E> {
    stream.collect::<Result<Vec<_>, _>>().await
}

async fn tasks(ecs: &aws_sdk_ecs::Client) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let clusters = collected(ecs.list_clusters().into_paginator().items().send()).await?;
    for cluster in clusters {
        let services =
            collected(ecs.list_services().cluster(&cluster).into_paginator().items().send()).await?;
        all.extend(services.into_iter().map(named("service")));
        // Those that are to stop and have not yet still have their interfaces.
        let tasks =
            ecs.list_tasks().cluster(&cluster).desired_status(DesiredStatus::Running).into_paginator();
        all.extend(collected(tasks.items().send()).await?.into_iter().map(named("task")));
        all.insert(format!("cluster {cluster}"));
    }
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        let definitions = ecs.list_task_definitions().status(status).into_paginator();
        all.extend(collected(definitions.items().send()).await?.into_iter().map(named("task definition")));
    }
    Ok(all)
}

async fn balancers(elb: &aws_sdk_elasticloadbalancingv2::Client) -> Result<BTreeSet<String>> {
    let balancers = collected(elb.describe_load_balancers().into_paginator().items().send()).await?;
    let balancers = balancers.into_iter().filter_map(|one| one.load_balancer_arn).map(named("load balancer"));
    let groups = collected(elb.describe_target_groups().into_paginator().items().send()).await?;
    let groups = groups.into_iter().filter_map(|one| one.target_group_arn).map(named("target group"));
    Ok(balancers.chain(groups).collect())
}
