//! Requests in and answers out: a signed form goes in, XML comes out.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use local_aws::auth::Caller;
use local_aws::server::Service;

use crate::Ec2;
use crate::call::Call;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::rules::Direction;
use crate::xml;

#[async_trait]
impl Service for Ec2 {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let mut parameters = Parameters::parse(request.body());
        // Before the call, which may delete what it names.
        let subject = self.subject(&parameters);
        let action = parameters.take("Action").unwrap_or_default();
        let request_id = self.upstream.random.uuid().to_string();

        let (caller, result) = self.run(&request, &action, parameters, &request_id).await;
        let outcome = result.as_ref().map_or_else(|error| error.code, |_| "OK");
        self.calls.record(&format!("ec2:{action}"), &caller, &subject, outcome);

        let (status, body) = match result {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => {
                let status = if caller.is_empty() { StatusCode::UNAUTHORIZED } else { error.status() };
                (status, xml::error_document(&error, &request_id))
            }
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "text/xml;charset=UTF-8")
            .header("x-amzn-requestid", request_id)
            .body(body.into())
            .expect("the headers are valid")
    }
}

impl Ec2 {
    /// The caller's ARN, or nothing for one who cannot be authenticated, and the answer.
    async fn run(
        &self,
        request: &Request<Bytes>,
        action: &str,
        parameters: Parameters,
        request_id: &str,
    ) -> (String, Result<String, ApiError>) {
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
    ) -> Result<String, ApiError> {
        let version = parameters.take("Version").unwrap_or_default();
        if version != "2016-11-15" {
            return Err(ApiError::new(
                "NoSuchVersion",
                format!("The requested version ({version}) of service AmazonEC2 does not exist"),
            ));
        }
        self.limits.take(action, &parameters, self.upstream.clock.instant())?;
        let (guard, upstream) = (&self.guard, &self.upstream);
        let call = Call { guard, upstream, caller, action, request_id, parameters };
        match action {
            "AllocateAddress" => self.allocate_address(call).await,
            "AssociateRouteTable" => self.associate_route_table(call).await,
            "AttachInternetGateway" => self.attach_internet_gateway(call).await,
            "AuthorizeSecurityGroupEgress" => self.authorize_security_group(call, Direction::Egress).await,
            "AuthorizeSecurityGroupIngress" => self.authorize_security_group(call, Direction::Ingress).await,
            "CreateEgressOnlyInternetGateway" => self.create_egress_only_internet_gateway(call).await,
            "CreateInternetGateway" => self.create_internet_gateway(call).await,
            "CreateNatGateway" => self.create_nat_gateway(call).await,
            "CreateRoute" => self.create_route(call).await,
            "CreateRouteTable" => self.create_route_table(call).await,
            "CreateSecurityGroup" => self.create_security_group(call).await,
            "CreateSubnet" => self.create_subnet(call).await,
            "CreateVpc" => self.create_vpc(call).await,
            "CreateVpcEndpoint" => self.create_vpc_endpoint(call).await,
            "DeleteEgressOnlyInternetGateway" => self.delete_egress_only_internet_gateway(call).await,
            "DeleteInternetGateway" => self.delete_internet_gateway(call).await,
            "DeleteNatGateway" => self.delete_nat_gateway(call).await,
            "DeleteRouteTable" => self.delete_route_table(call).await,
            "DeleteSecurityGroup" => self.delete_security_group(call).await,
            "DeleteSubnet" => self.delete_subnet(call).await,
            "DeleteVpc" => self.delete_vpc(call).await,
            "DeleteVpcEndpoints" => self.delete_vpc_endpoints(call).await,
            "DescribeAddresses" => self.describe_addresses(call).await,
            "DescribeEgressOnlyInternetGateways" => self.describe_egress_only_internet_gateways(call).await,
            "DescribeInternetGateways" => self.describe_internet_gateways(call).await,
            "DescribeNatGateways" => self.describe_nat_gateways(call).await,
            "DescribeNetworkInterfaces" => self.describe_network_interfaces(call).await,
            "DescribeRouteTables" => self.describe_route_tables(call).await,
            "DescribeSecurityGroups" => self.describe_security_groups(call).await,
            "DescribeSubnets" => self.describe_subnets(call).await,
            "DescribeVpcEndpoints" => self.describe_vpc_endpoints(call).await,
            "DescribeVpcs" => self.describe_vpcs(call).await,
            "DetachInternetGateway" => self.detach_internet_gateway(call).await,
            "DisassociateRouteTable" => self.disassociate_route_table(call).await,
            "ModifySubnetAttribute" => self.modify_subnet_attribute(call).await,
            "ModifyVpcAttribute" => self.modify_vpc_attribute(call).await,
            "ReleaseAddress" => self.release_address(call).await,
            "RevokeSecurityGroupEgress" => self.revoke_security_group_egress(call).await,
            _ => Err(ApiError::new(
                "InvalidAction",
                format!("The action {action} is not valid for this web service."),
            )),
        }
    }
}
