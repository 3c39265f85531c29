//! The HTTP side: a signed form goes in, XML comes out.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use local_aws::auth::{Caller, Guard};
use local_aws::calls::CallLog;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Ec2;
use crate::call::Call;
use crate::error::Ec2Error;
use crate::parameters::Parameters;
use crate::xml;

/// More than any call of EC2's has.
const MAX_BODY: usize = 1 << 20;

/// Answers EC2's calls on `listener` until `stop`: each is authenticated and authorized by `guard` and recorded in
/// `calls`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    ec2: Ec2,
    guard: Guard,
    calls: CallLog,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let app = Router::new().fallback(answer).with_state(Server { ec2, guard, calls });
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

#[derive(Clone, Debug)]
struct Server {
    ec2: Ec2,
    guard: Guard,
    calls: CallLog,
}

async fn answer(State(server): State<Server>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut parameters = Parameters::parse(&body);
    // Before the call, which may delete what it names.
    let subject = server.ec2.subject(&parameters);
    let action = parameters.take("Action").unwrap_or_default();
    let request = Request::from_parts(parts, body);
    let request_id = Uuid::new_v4().to_string();

    let (caller, result) = server.run(&request, &action, parameters, &request_id).await;
    let outcome = result.as_ref().map_or_else(|error| error.code, |_| "OK");
    server.calls.record(&format!("ec2:{action}"), &caller, &subject, outcome);

    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            let status = if caller.is_empty() { StatusCode::UNAUTHORIZED } else { error.status() };
            (status, xml::error_document(&error, &request_id))
        }
    };
    let headers = [(header::CONTENT_TYPE, "text/xml;charset=UTF-8".to_owned())];
    (status, headers, [("x-amzn-requestid", request_id)], body).into_response()
}

impl Server {
    /// The caller's ARN, or nothing for one who cannot be authenticated, and the answer.
    async fn run(
        &self,
        request: &Request<Bytes>,
        action: &str,
        parameters: Parameters,
        request_id: &str,
    ) -> (String, Result<String, Ec2Error>) {
        match self.guard.authenticate("ec2", request).await {
            Ok(caller) => {
                let result = self.dispatch(&caller, action, parameters, request_id).await;
                (caller.arn, result)
            }
            Err(refusal) => (String::new(), Err(refusal.into())),
        }
    }

    async fn dispatch(
        &self,
        caller: &Caller,
        action: &str,
        mut parameters: Parameters,
        request_id: &str,
    ) -> Result<String, Ec2Error> {
        let version = parameters.take("Version").unwrap_or_default();
        if version != "2016-11-15" {
            return Err(Ec2Error::new(
                "NoSuchVersion",
                format!("The requested version ({version}) of service AmazonEC2 does not exist"),
            ));
        }
        self.ec2.limits.take(action, &parameters, Instant::now())?;
        let (guard, upstream) = (&self.guard, &self.ec2.upstream);
        let call = Call { guard, upstream, caller, action, request_id, parameters };
        match action {
            "AllocateAddress" => self.ec2.allocate_address(call).await,
            "AssociateRouteTable" => self.ec2.associate_route_table(call).await,
            "AttachInternetGateway" => self.ec2.attach_internet_gateway(call).await,
            "AuthorizeSecurityGroupEgress" => self.ec2.authorize_security_group_egress(call).await,
            "CreateInternetGateway" => self.ec2.create_internet_gateway(call).await,
            "CreateNatGateway" => self.ec2.create_nat_gateway(call).await,
            "CreateRoute" => self.ec2.create_route(call).await,
            "CreateRouteTable" => self.ec2.create_route_table(call).await,
            "CreateSecurityGroup" => self.ec2.create_security_group(call).await,
            "CreateSubnet" => self.ec2.create_subnet(call).await,
            "CreateVpc" => self.ec2.create_vpc(call).await,
            "CreateVpcEndpoint" => self.ec2.create_vpc_endpoint(call).await,
            "DeleteInternetGateway" => self.ec2.delete_internet_gateway(call).await,
            "DeleteNatGateway" => self.ec2.delete_nat_gateway(call).await,
            "DeleteRouteTable" => self.ec2.delete_route_table(call).await,
            "DeleteSecurityGroup" => self.ec2.delete_security_group(call).await,
            "DeleteSubnet" => self.ec2.delete_subnet(call).await,
            "DeleteVpc" => self.ec2.delete_vpc(call).await,
            "DeleteVpcEndpoints" => self.ec2.delete_vpc_endpoints(call).await,
            "DescribeAddresses" => self.ec2.describe_addresses(call).await,
            "DescribeInternetGateways" => self.ec2.describe_internet_gateways(call).await,
            "DescribeNatGateways" => self.ec2.describe_nat_gateways(call).await,
            "DescribeNetworkInterfaces" => self.ec2.describe_network_interfaces(call).await,
            "DescribeRouteTables" => self.ec2.describe_route_tables(call).await,
            "DescribeSecurityGroups" => self.ec2.describe_security_groups(call).await,
            "DescribeSubnets" => self.ec2.describe_subnets(call).await,
            "DescribeVpcEndpoints" => self.ec2.describe_vpc_endpoints(call).await,
            "DescribeVpcs" => self.ec2.describe_vpcs(call).await,
            "DetachInternetGateway" => self.ec2.detach_internet_gateway(call).await,
            "DisassociateRouteTable" => self.ec2.disassociate_route_table(call).await,
            "ReleaseAddress" => self.ec2.release_address(call).await,
            "RevokeSecurityGroupEgress" => self.ec2.revoke_security_group_egress(call).await,
            _ => Err(Ec2Error::new(
                "InvalidAction",
                format!("The action {action} is not valid for this web service."),
            )),
        }
    }
}
