//! Two stacks in one account never touch each other, though what the one may do to `mayfly-*` fits the other's names.

use anyhow::{Context, Result, ensure};
use aws_config::SdkConfig;
use aws_sdk_ec2::types::{
    DomainType, IpPermission, IpRange, ResourceType as Kind, Tag, TagSpecification, VpcEndpointType,
};
use aws_sdk_ecs::error::ProvideErrorMetadata;
use local_cloud::REGION;
use mayfly_model::names::Names;
use serde_json::json;

use super::network::Network;
use super::stack::{NAME, Stack, machine, nothing_swept, pascal};
use crate::support::documents::command;
use crate::support::made::Made;
use crate::support::world::{STACK, World};

/// All functions that delete.
const DELETERS: [&str; 12] = [
    "delete-service",
    "delete-queue",
    "delete-task",
    "delete-cluster",
    "delete-nat-gateway",
    "delete-endpoints",
    "release-address",
    "delete-internet-gateway",
    "delete-security-groups",
    "delete-route-tables",
    "delete-subnets",
    "delete-vpc",
];

pub async fn meet(stack: &Stack, job: &str) -> Result<()> {
    let world = &stack.world;
    let theirs = world.start_job(job, &command(&["sleep", "600"])).await?;
    ensure!(world.entered(&theirs, "DispatchJob").await?, "{job} does not come to DispatchJob");
    let mut made = Made::nothing(world);
    made.tag(&[("mayfly:stack", STACK), ("mayfly:job", job)]);
    let vpc = made.vpc("10.181.0.0/24").await?;
    let others = Others {
        subnet: made.subnet(&vpc, "10.181.0.0/25", &world.zone().await?).await?,
        table: made.route_table(&vpc).await?,
        group: made.group(&vpc, "theirs").await?,
        gateway: made.internet_gateway(None).await?,
        address: made.address().await?,
        vpc,
    };
    look_alikes(stack, job, &others).await?;
    forced(stack, job).await?;
    forced_into_network(stack, job, &others).await?;
    made.remove().await?;
    stack.call("delete-queue", &json!({ "job": job })).await?;
    world.stop_execution(&theirs).await?;
    world.torn_down_by_rule(job).await?;
    world.nothing_left(job).await
}

/// What the other stack has for the job of the same id.
struct Others {
    vpc: String,
    subnet: String,
    table: String,
    group: String,
    /// Attached to nothing.
    gateway: String,
    address: String,
}

/// A job of the same id in the other stack is neither found nor deleted, not even what bears a name of this stack.
async fn look_alikes(stack: &Stack, job: &str, others: &Others) -> Result<()> {
    let sqs = &stack.world.sqs;
    let tags = [("mayfly:stack", STACK), ("mayfly:job", job)];
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let name = Names::new(NAME, job).mailbox("of-the-other-stack");
    let look_alike = sqs.create_queue().queue_name(name).set_tags(Some(tags)).send().await?.queue_url;
    let look_alike = look_alike.context("a queue has a URL")?;

    let receipt = json!({ "created": [], "deleted": [], "residual": [] });
    let found = stack.call("find-leftovers", &json!({ "job": job, "receipt": receipt })).await?;
    ensure!(found["receipt"] == receipt && found["network"] == false, "{NAME} finds {found:#}");
    for function in DELETERS {
        let deleted = stack.call(function, &json!({ "job": job })).await?;
        let nothing =
            if function == "delete-queue" { json!({ "accepted": [] }) } else { json!({ "deleted": 0 }) };
        ensure!(deleted == nothing, "{function} of {NAME}: {deleted:#}");
    }
    let mut swept = stack.call("sweep-expired", &json!({})).await?;
    // And what its own job has.
    swept["found"] = json!([]);
    ensure!(swept == nothing_swept(), "{NAME} sweeps {swept:#}");
    let left = stack.world.cloud().leftovers(job).await?;
    let Others { vpc, subnet, table, group, gateway, address } = others;
    for id in [&look_alike, vpc, subnet, table, group, gateway, address] {
        ensure!(left.contains(id), "{id} is not among what is left of {job}: {left:#?}");
    }
    // And what its own job has.
    ensure!(left.len() > 7 + 3, "this is left of {job}: {left:#?}");
    sqs.delete_queue().queue_url(look_alike).send().await?;
    Ok(())
}

/// With the other stack's roles in hand, and against names that fit them, only the conditions on tags and cluster refuse.
async fn forced(stack: &Stack, job: &str) -> Result<()> {
    let plan = stack.plan(job).await?;
    stack.call("create-queue", &json!({ "plan": plan })).await?;
    let service = stack.service(job).await?;
    stack.call("create-service", &service).await?;
    let definition = service["taskDefinition"].as_str().context("a definition has an ARN")?;
    let (world, mailbox) = (&stack.world, &plan.mailbox_url);

    let deleter = aws_sdk_sqs::Client::new(&config_as(world, "delete-queue").await?);
    denied("DeleteQueue", deleter.delete_queue().queue_url(mailbox).send().await)?;
    let dispatcher = aws_sdk_sqs::Client::new(&config_as(world, "dispatch-job").await?);
    denied("SendMessage", dispatcher.send_message().queue_url(mailbox).message_body("{}").send().await)?;
    let creator = aws_sdk_sqs::Client::new(&config_as(world, "create-queue").await?);
    let tags = [("mayfly:stack".to_owned(), NAME.to_owned())].into();
    let forged = creator.create_queue().queue_name(format!("{}x", plan.mailbox_name)).set_tags(Some(tags));
    denied("CreateQueue", forged.send().await)?;

    let deleting = ecs_as(world, "delete-service").await?.delete_service().force(true);
    let deleting = deleting.cluster(stack.id("Cluster")?).service(Names::new(NAME, job).service(1));
    denied("DeleteService", deleting.send().await)?;
    let deleting = ecs_as(world, "delete-task").await?.delete_task_definitions();
    denied("DeleteTaskDefinitions", deleting.task_definitions(definition).send().await)?;
    let own = world.cloud().leftovers(job).await?;
    ensure!(own.contains(mailbox) && own.iter().any(|arn| arn == definition), "{own:#?}");

    // Now as those that they belong to.
    until_deleted(stack, job).await?;
    stack.call("delete-task", &json!({ "job": job })).await?;
    Ok(())
}

/// All calls are denied, each with a client of the function whose role makes it.
macro_rules! all_denied {
    ($($client:ident($function:literal).$call:ident$(.$field:ident($value:expr))+;)+) => {$(
        let call = $client($function).await?.$call()$(.$field($value))+;
        denied(&pascal(&stringify!($call).replace('_', "-")), call.send().await)?;
    )+};
}

/// The same in a network of a job's own, whose parts have no names: only their tags tell whose they are.
async fn forced_into_network(stack: &Stack, job: &str, others: &Others) -> Result<()> {
    let network = Network::pending(stack, job).await?;
    nothing_joined(stack, &network, others).await?;
    nothing_deleted(stack, &network).await?;
    let teardown = stack.world.try_start(&machine("tear-down"), job, &json!({ "job": job })).await?;
    stack.succeeded(&teardown).await
}

/// The other stack can neither make anything in the network, nor connect its own with it, nor give what it makes the
/// tag of this stack.
async fn nothing_joined(stack: &Stack, network: &Network, others: &Others) -> Result<()> {
    let world = &stack.world;
    let made = |name| network.made(name);
    let (vpc, subnet, table, group) =
        (made("vpcId")?, made("subnetId")?, made("routeTableId")?, made("groupId")?);
    let (gateway, address, nat) = (made("internetGatewayId")?, made("allocationId")?, made("natGatewayId")?);
    let zone = world.zone().await?;
    let everywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let rule = IpPermission::builder().ip_protocol("-1").ip_ranges(everywhere).build();
    let s3 = format!("com.amazonaws.{REGION}.s3");
    let own = |kind| of_stack(STACK, kind);
    let forged = |kind| of_stack(NAME, kind);
    let forged_tag = aws_sdk_ecs::types::Tag::builder().key("mayfly:stack").value(NAME).build();
    let ec2 = async |function| ec2_as(world, function).await;
    let ecs = async |function| ecs_as(world, function).await;
    all_denied! {
        ec2("create-vpc").create_vpc.cidr_block("10.181.0.0/24").tag_specifications(forged(Kind::Vpc));
        ec2("create-internet-gateway").create_internet_gateway
            .tag_specifications(forged(Kind::InternetGateway));
        ec2("attach-internet-gateway").attach_internet_gateway
            .internet_gateway_id(gateway).vpc_id(&others.vpc);
        ec2("attach-internet-gateway").attach_internet_gateway
            .internet_gateway_id(&others.gateway).vpc_id(vpc);
        ec2("create-subnet").create_subnet
            .vpc_id(vpc).cidr_block("10.181.0.0/28").availability_zone(zone)
            .tag_specifications(own(Kind::Subnet));
        ec2("create-security-group").create_security_group
            .vpc_id(vpc).group_name("theirs").description("theirs")
            .tag_specifications(own(Kind::SecurityGroup));
        ec2("create-security-group").authorize_security_group_egress
            .group_id(group).ip_permissions(rule.clone()).tag_specifications(own(Kind::SecurityGroupRule));
        ec2("create-security-group").revoke_security_group_egress.group_id(group).ip_permissions(rule);
        ec2("allocate-address").allocate_address
            .domain(DomainType::Vpc).tag_specifications(forged(Kind::ElasticIp));
        ec2("create-nat-gateway").create_nat_gateway
            .subnet_id(subnet).allocation_id(&others.address).tag_specifications(own(Kind::Natgateway));
        ec2("create-nat-gateway").create_nat_gateway
            .subnet_id(&others.subnet).allocation_id(address).tag_specifications(own(Kind::Natgateway));
        ec2("create-route-table").create_route_table.vpc_id(vpc).tag_specifications(own(Kind::RouteTable));
        ec2("associate-route-table").associate_route_table.route_table_id(table).subnet_id(&others.subnet);
        ec2("associate-route-table").associate_route_table.route_table_id(&others.table).subnet_id(subnet);
        ec2("create-route").create_route
            .route_table_id(table).destination_cidr_block("10.0.0.0/8").nat_gateway_id(nat);
        ec2("create-endpoints").create_vpc_endpoint
            .vpc_id(vpc).service_name(s3).vpc_endpoint_type(VpcEndpointType::Gateway)
            .route_table_ids(table).tag_specifications(own(Kind::VpcEndpoint));
        ecs("create-cluster").create_cluster.cluster_name(format!("{STACK}-theirs")).tags(forged_tag);
    }
    Ok(())
}

async fn nothing_deleted(stack: &Stack, network: &Network) -> Result<()> {
    let world = &stack.world;
    let made = |name| network.made(name);
    let (vpc, table, gateway) = (made("vpcId")?, made("routeTableId")?, made("internetGatewayId")?);
    let described = world.ec2.describe_route_tables().route_table_ids(table).send().await?;
    let association = described.route_tables().iter().flat_map(|table| table.associations()).next();
    let association = association.and_then(|association| association.route_table_association_id());
    let ec2 = async |function| ec2_as(world, function).await;
    let ecs = async |function| ecs_as(world, function).await;
    all_denied! {
        ec2("delete-nat-gateway").delete_nat_gateway.nat_gateway_id(made("natGatewayId")?);
        ec2("release-address").release_address.allocation_id(made("allocationId")?);
        ec2("delete-endpoints").delete_vpc_endpoints.vpc_endpoint_ids(network.endpoint()?);
        ec2("delete-internet-gateway").detach_internet_gateway.internet_gateway_id(gateway).vpc_id(vpc);
        ec2("delete-internet-gateway").delete_internet_gateway.internet_gateway_id(gateway);
        ec2("delete-security-groups").delete_security_group.group_id(made("groupId")?);
        ec2("delete-route-tables").disassociate_route_table
            .association_id(association.context("the table has a subnet")?);
        ec2("delete-route-tables").delete_route_table.route_table_id(table);
        ec2("delete-subnets").delete_subnet.subnet_id(made("subnetId")?);
        ec2("delete-vpc").delete_vpc.vpc_id(vpc);
        ecs("delete-cluster").delete_cluster.cluster(made("cluster")?);
    }
    Ok(())
}

/// A client for EC2 with the keys of the role that a function of the other stack has.
async fn ec2_as(world: &World, function: &str) -> Result<aws_sdk_ec2::Client> {
    let config = config_as(world, function).await?.to_builder();
    Ok(aws_sdk_ec2::Client::new(&config.endpoint_url(&world.cloud().upstream().ec2).build()))
}

/// The same for ECS.
async fn ecs_as(world: &World, function: &str) -> Result<aws_sdk_ecs::Client> {
    let config = config_as(world, function).await?.to_builder();
    Ok(aws_sdk_ecs::Client::new(&config.endpoint_url(&world.cloud().upstream().ecs).build()))
}

/// The tag of a new resource.
fn of_stack(stack: &str, kind: Kind) -> TagSpecification {
    let tag = Tag::builder().key("mayfly:stack").value(stack).build();
    TagSpecification::builder().resource_type(kind).tags(tag).build()
}

async fn until_deleted(stack: &Stack, job: &str) -> Result<()> {
    crate::support::world::until(&format!("the service of {job} to be gone"), || async {
        Ok(stack.invoke("delete-service", &json!({ "job": job })).await?.ok())
    })
    .await?;
    Ok(())
}

/// A client's configuration with the keys of the role that a function of the other stack has.
async fn config_as(world: &World, function: &str) -> Result<SdkConfig> {
    let name = world.function(function).await?;
    let configuration = world.lambda.get_function_configuration().function_name(name).send().await?;
    let role = configuration.role.context("a function has a role")?;
    world.cloud().upstream().role_config(&role, "stranger").await
}

fn denied<T, E: ProvideErrorMetadata>(action: &str, answer: Result<T, E>) -> Result<()> {
    let error = answer.err().with_context(|| format!("the other stack may {action}"))?;
    let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
    let is_denial = code.starts_with("AccessDenied") || code == "UnauthorizedOperation";
    ensure!(is_denial && message.contains(action), "{action}: {code}: {message}");
    Ok(())
}
