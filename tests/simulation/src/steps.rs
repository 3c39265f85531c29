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
pub struct Recipe {
    /// Whether the SDK may repeat its calls by itself.
    pub sdk_retries: bool,
    /// Makes it.
    pub new: fn(&Environment) -> Result<Box<dyn Handler>, String>,
}

fn recipe<S: Step + Send + Sync + 'static>() -> Recipe {
    Recipe { sdk_retries: S::SDK_RETRIES, new: |environment| Ok(Box::new(S::new(environment)?)) }
}

/// How the step of `function`, a folder of `functions/`, is made.
#[allow(clippy::too_many_lines, reason = "a line for each function")]
pub fn step(function: &str) -> Option<Recipe> {
    Some(match function {
        "abort-uploads" => recipe::<abort_uploads::AbortUploads>(),
        "allocate-address" => recipe::<allocate_address::AllocateAddress>(),
        "associate-route-table" => recipe::<associate_route_table::AssociateRouteTable>(),
        "attach-internet-gateway" => recipe::<attach_internet_gateway::AttachInternetGateway>(),
        "authorize-ingress" => recipe::<authorize_ingress::AuthorizeIngress>(),
        "begin-service" => recipe::<begin_service::BeginService>(),
        "check-endpoints" => recipe::<check_endpoints::CheckEndpoints>(),
        "check-ipv6-block" => recipe::<check_ipv6_block::CheckIpv6Block>(),
        "check-load-balancer" => recipe::<check_load_balancer::CheckLoadBalancer>(),
        "check-nat-gateway" => recipe::<check_nat_gateway::CheckNatGateway>(),
        "check-service" => recipe::<check_service::CheckService>(),
        "collect-result" => recipe::<collect_result::CollectResult>(),
        "conclude-job" => recipe::<conclude_job::ConcludeJob>(),
        "create-cluster" => recipe::<create_cluster::CreateCluster>(),
        "create-egress-only-internet-gateway" => {
            recipe::<create_egress_only_internet_gateway::CreateEgressOnlyInternetGateway>()
        }
        "create-endpoints" => recipe::<create_endpoints::CreateEndpoints>(),
        "create-internet-gateway" => recipe::<create_internet_gateway::CreateInternetGateway>(),
        "create-listeners" => recipe::<create_listeners::CreateListeners>(),
        "create-load-balancer" => recipe::<create_load_balancer::CreateLoadBalancer>(),
        "create-nat-gateway" => recipe::<create_nat_gateway::CreateNatGateway>(),
        "create-queue" => recipe::<create_queue::CreateQueue>(),
        "create-route" => recipe::<create_route::CreateRoute>(),
        "create-route-table" => recipe::<create_route_table::CreateRouteTable>(),
        "create-security-group" => recipe::<create_security_group::CreateSecurityGroup>(),
        "create-service" => recipe::<create_service::CreateService>(),
        "create-subnet" => recipe::<create_subnet::CreateSubnet>(),
        "create-target-groups" => recipe::<create_target_groups::CreateTargetGroups>(),
        "create-vpc" => recipe::<create_vpc::CreateVpc>(),
        "delete-cluster" => recipe::<delete_cluster::DeleteCluster>(),
        "delete-egress-only-internet-gateway" => {
            recipe::<delete_egress_only_internet_gateway::DeleteEgressOnlyInternetGateway>()
        }
        "delete-endpoints" => recipe::<delete_endpoints::DeleteEndpoints>(),
        "delete-internet-gateway" => recipe::<delete_internet_gateway::DeleteInternetGateway>(),
        "delete-load-balancer" => recipe::<delete_load_balancer::DeleteLoadBalancer>(),
        "delete-nat-gateway" => recipe::<delete_nat_gateway::DeleteNatGateway>(),
        "delete-queue" => recipe::<delete_queue::DeleteQueue>(),
        "delete-route-tables" => recipe::<delete_route_tables::DeleteRouteTables>(),
        "delete-security-groups" => recipe::<delete_security_groups::DeleteSecurityGroups>(),
        "delete-service" => recipe::<delete_service::DeleteService>(),
        "delete-subnets" => recipe::<delete_subnets::DeleteSubnets>(),
        "delete-target-groups" => recipe::<delete_target_groups::DeleteTargetGroups>(),
        "delete-task" => recipe::<delete_task::DeleteTask>(),
        "delete-vpc" => recipe::<delete_vpc::DeleteVpc>(),
        "dispatch-job" => recipe::<dispatch_job::DispatchJob>(),
        "enable-dns-hostnames" => recipe::<enable_dns_hostnames::EnableDnsHostnames>(),
        "end-service" => recipe::<end_service::EndService>(),
        "extend-service" => recipe::<extend_service::ExtendService>(),
        "find-leftovers" => recipe::<find_leftovers::FindLeftovers>(),
        "find-task" => recipe::<find_task::FindTask>(),
        "handle-report" => recipe::<handle_report::HandleReport>(),
        "handle-running-task" => recipe::<handle_running_task::HandleRunningTask>(),
        "handle-stopped-task" => recipe::<handle_stopped_task::HandleStoppedTask>(),
        "keep-service" => recipe::<keep_service::KeepService>(),
        "plan-job" => recipe::<plan_job::PlanJob>(),
        "register-task" => recipe::<register_task::RegisterTask>(),
        "release-address" => recipe::<release_address::ReleaseAddress>(),
        "stop-execution" => recipe::<stop_execution::StopExecution>(),
        "sweep-expired" => recipe::<sweep_expired::SweepExpired>(),
        _ => return None,
    })
}
