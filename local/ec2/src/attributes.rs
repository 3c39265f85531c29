//! Attributes of VPCs and subnets, which calls change one at a time.

use crate::Ec2;
use crate::call::{Call, Target};
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::subnets::Subnet;
use crate::vpcs::Vpc;

impl Ec2 {
    /// EC2 API reference: ModifyVpcAttribute.
    pub(crate) async fn modify_vpc_attribute(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("VpcId")?;
        let names = ["EnableDnsHostnames", "EnableDnsSupport"];
        let (attribute, value) = take_attribute(&mut call.parameters, &names)?;
        let vpc: Vpc = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&vpc)]).await?;
        let mut state = self.state();
        let has_dns_support = state.vpcs.seen_by_call(&id)?.dns_support;
        let vpc: &mut Vpc = self.change(&mut state, &id)?;
        if attribute == "EnableDnsSupport" {
            vpc.dns_support = value;
        } else if value && !has_dns_support {
            // "You can only enable DNS hostnames if you've enabled DNS support" (same page); the code is a guess.
            let expected = "You can only enable DNS hostnames if you've enabled DNS support.";
            return Err(ApiError::invalid_value("enableDnsHostnames", "true", expected));
        } else {
            vpc.dns_hostnames = value;
        }
        call.done()
    }

    /// EC2 API reference: ModifySubnetAttribute.
    pub(crate) async fn modify_subnet_attribute(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("SubnetId")?;
        let (attribute, value) = take_attribute(&mut call.parameters, &["AssignIpv6AddressOnCreation"])?;
        let subnet: Subnet = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&subnet)]).await?;
        if value && subnet.ipv6_block().is_none() {
            // A guess: AWS says only that the subnet has to have such addresses.
            let expected = format!("The subnet {id} has no IPv6 CIDR block.");
            return Err(ApiError::invalid_value(attribute, "true", &expected));
        }
        self.change::<Subnet>(&mut self.state(), &id)?.assign_ipv6_addresses(value);
        call.done()
    }
}

/// Takes the one attribute of `names` that is given, and its value.
fn take_attribute(
    parameters: &mut Parameters,
    names: &[&'static str],
) -> Result<(&'static str, bool), ApiError> {
    let mut given = Vec::new();
    for &name in names {
        let value = parameters.take_optional_bool(&format!("{name}.Value"))?;
        given.extend(value.map(|value| (name, value)));
    }
    match given[..] {
        [one] => Ok(one),
        [] => Err(ApiError::new("InvalidParameterCombination", "No attributes specified.")),
        _ => {
            // aws/aws-sdk-go#415.
            let names =
                given.iter().map(|(name, _)| name.replacen('E', "e", 1)).collect::<Vec<_>>().join(", ");
            let message = format!("Fields for multiple attribute types specified: {names}");
            Err(ApiError::new("InvalidParameterCombination", message))
        }
    }
}
