//! Every step of `functions/`, by its function's name.

use std::future::Future;
use std::pin::Pin;

use mayfly_lambda::{Environment, Step, invoke};

/// A step in an execution environment of its function.
pub trait Handler: Send + Sync {
    /// Calls it as Lambda does: gives its output, or an error's name and message.
    fn invoke<'a>(
        &'a self,
        payload: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<String, Thrown>> + Send + 'a>>;
}

/// What a handler threw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// The error's name, which a machine matches.
    pub error_type: String,
    /// What it says.
    pub message: String,
}

impl<S: Step + Send + Sync> Handler for S {
    fn invoke<'a>(
        &'a self,
        payload: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<String, Thrown>> + Send + 'a>> {
        Box::pin(async move {
            match invoke(self, payload).await {
                Ok(output) => Ok(output.get().to_owned()),
                Err(thrown) => Err(Thrown { error_type: thrown.error_type, message: thrown.error_message }),
            }
        })
    }
}

/// How a step is made in a new execution environment.
pub struct Made {
    /// Whether the SDK may repeat its calls by itself.
    pub sdk_retries: bool,
    /// Makes it.
    pub new: fn(&Environment) -> Result<Box<dyn Handler>, String>,
}

fn made<S: Step + Send + Sync + 'static>() -> Made {
    Made { sdk_retries: S::SDK_RETRIES, new: |environment| Ok(Box::new(S::new(environment)?)) }
}

/// How the step of `function`, a folder of `functions/`, is made.
#[allow(clippy::too_many_lines, reason = "a line for each function")]
pub fn step(function: &str) -> Option<Made> {
    Some(match function {
        "allocate-address" => made::<allocate_address::AllocateAddress>(),
        "associate-route-table" => made::<associate_route_table::AssociateRouteTable>(),
        "attach-internet-gateway" => made::<attach_internet_gateway::AttachInternetGateway>(),
        "authorize-ingress" => made::<authorize_ingress::AuthorizeIngress>(),
        "begin-service" => made::<begin_service::BeginService>(),
        "check-endpoints" => made::<check_endpoints::CheckEndpoints>(),
        "check-ipv6-block" => made::<check_ipv6_block::CheckIpv6Block>(),
        "check-load-balancer" => made::<check_load_balancer::CheckLoadBalancer>(),
        "check-nat-gateway" => made::<check_nat_gateway::CheckNatGateway>(),
        "check-service" => made::<check_service::CheckService>(),
        "collect-result" => made::<collect_result::CollectResult>(),
        "conclude-job" => made::<conclude_job::ConcludeJob>(),
        "create-cluster" => made::<create_cluster::CreateCluster>(),
        "create-egress-only-internet-gateway" => {
            made::<create_egress_only_internet_gateway::CreateEgressOnlyInternetGateway>()
        }
        "create-endpoints" => made::<create_endpoints::CreateEndpoints>(),
        "create-internet-gateway" => made::<create_internet_gateway::CreateInternetGateway>(),
        "create-listeners" => made::<create_listeners::CreateListeners>(),
        "create-load-balancer" => made::<create_load_balancer::CreateLoadBalancer>(),
        "create-nat-gateway" => made::<create_nat_gateway::CreateNatGateway>(),
        "create-queue" => made::<create_queue::CreateQueue>(),
        "create-route" => made::<create_route::CreateRoute>(),
        "create-route-table" => made::<create_route_table::CreateRouteTable>(),
        "create-security-group" => made::<create_security_group::CreateSecurityGroup>(),
        "create-service" => made::<create_service::CreateService>(),
        "create-subnet" => made::<create_subnet::CreateSubnet>(),
        "create-target-groups" => made::<create_target_groups::CreateTargetGroups>(),
        "create-vpc" => made::<create_vpc::CreateVpc>(),
        "delete-cluster" => made::<delete_cluster::DeleteCluster>(),
        "delete-egress-only-internet-gateway" => {
            made::<delete_egress_only_internet_gateway::DeleteEgressOnlyInternetGateway>()
        }
        "delete-endpoints" => made::<delete_endpoints::DeleteEndpoints>(),
        "delete-internet-gateway" => made::<delete_internet_gateway::DeleteInternetGateway>(),
        "delete-load-balancer" => made::<delete_load_balancer::DeleteLoadBalancer>(),
        "delete-nat-gateway" => made::<delete_nat_gateway::DeleteNatGateway>(),
        "delete-queue" => made::<delete_queue::DeleteQueue>(),
        "delete-route-tables" => made::<delete_route_tables::DeleteRouteTables>(),
        "delete-security-groups" => made::<delete_security_groups::DeleteSecurityGroups>(),
        "delete-service" => made::<delete_service::DeleteService>(),
        "delete-subnets" => made::<delete_subnets::DeleteSubnets>(),
        "delete-target-groups" => made::<delete_target_groups::DeleteTargetGroups>(),
        "delete-task" => made::<delete_task::DeleteTask>(),
        "delete-vpc" => made::<delete_vpc::DeleteVpc>(),
        "dispatch-job" => made::<dispatch_job::DispatchJob>(),
        "enable-dns-hostnames" => made::<enable_dns_hostnames::EnableDnsHostnames>(),
        "end-service" => made::<end_service::EndService>(),
        "extend-service" => made::<extend_service::ExtendService>(),
        "find-leftovers" => made::<find_leftovers::FindLeftovers>(),
        "find-task" => made::<find_task::FindTask>(),
        "handle-report" => made::<handle_report::HandleReport>(),
        "handle-running-task" => made::<handle_running_task::HandleRunningTask>(),
        "handle-stopped-task" => made::<handle_stopped_task::HandleStoppedTask>(),
        "keep-service" => made::<keep_service::KeepService>(),
        "plan-job" => made::<plan_job::PlanJob>(),
        "register-task" => made::<register_task::RegisterTask>(),
        "release-address" => made::<release_address::ReleaseAddress>(),
        "stop-execution" => made::<stop_execution::StopExecution>(),
        "sweep-expired" => made::<sweep_expired::SweepExpired>(),
        _ => return None,
    })
}
