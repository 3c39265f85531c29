//! What is in a VPC: what comes with a new one, and what is in the way of its deletion.

use serde::Serialize;

use crate::call::{Call, Target};
use crate::error::ApiError;
use crate::groups::Group;
use crate::ipv6::{ASSOCIATING, Ipv6Association};
use crate::kinds::Kind;
use crate::quotas::room;
use crate::route_tables::RouteTable;
use crate::tags::Tags;
use crate::vpcs::{PENDING, Vpc, cidr};
use crate::xml;
use crate::{Ec2, State};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateVpcResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    vpc: Vpc,
}

impl Ec2 {
    /// EC2 API reference: CreateVpc. The default security group and the main route table come with the VPC.
    pub(crate) async fn create_vpc(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let cidr_block = cidr(&call.parameters.require("CidrBlock")?, "InvalidVpc.Range")?;
        let with_ipv6 = call.parameters.take_bool("AmazonProvidedIpv6CidrBlock")?;
        let tags = Tags::take(Vpc::TYPE, &mut call.parameters)?;
        call.mutate(&[Target::new::<Vpc>(&tags, None)]).await?;
        let adopted = Vpc::adopted(self).await?.len();
        let ipv6 = with_ipv6.then(|| Ipv6Association::of_vpc(self));
        let vpc = Vpc::new(cidr_block, ipv6, tags, self);
        {
            let mut state = self.state();
            room(adopted + state.vpcs.seen_by_ec2().count(), self.quotas.vpcs, "VpcLimitExceeded", "VPCs")?;
            self.insert(&mut state, Group::default_of(&vpc, self));
            self.insert(&mut state, RouteTable::main_of(&vpc, self));
            self.insert(&mut state, vpc.clone());
        }
        let id = vpc.vpc_id.clone();
        self.later(PENDING, move |state| {
            state.vpcs.seen_by_ec2_mut().filter(|vpc| vpc.vpc_id == id).for_each(Vpc::become_available);
        });
        if with_ipv6 {
            let (id, random) = (vpc.vpc_id.clone(), self.upstream.random.clone());
            self.later(ASSOCIATING, move |state| {
                let block = state.free_ipv6_block(&random);
                for vpc in state.vpcs.seen_by_ec2_mut().filter(|vpc| vpc.vpc_id == id) {
                    vpc.associate_ipv6(block);
                }
            });
        }
        xml::document(&CreateVpcResponse { xmlns: xml::NAMESPACE, request_id: call.request_id, vpc })
    }

    /// EC2 API reference: DeleteVpc. What came with the VPC goes with it; anything else is in the way.
    pub(crate) async fn delete_vpc(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("VpcId")?;
        let vpc: Vpc = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&vpc)]).await?;
        let mut state = self.state();
        state.vpcs.seen_by_call(&id)?;
        if state.uses_vpc(&id) {
            return Err(ApiError::dependency_violation("vpc", &id));
        }
        state.groups.retain(|group| group.vpc_id != id);
        state.route_tables.retain(|table| table.vpc_id != id);
        self.delete::<Vpc>(&mut state, &id);
        call.done()
    }
}

impl State {
    /// Whether something that has to be deleted first is in the VPC (VPC user guide, "Delete your VPC").
    fn uses_vpc(&self, id: &str) -> bool {
        self.subnets.seen_by_ec2().any(|subnet| subnet.vpc_id == id)
            || self.groups.seen_by_ec2().any(|group| group.vpc_id == id && !group.is_default())
            || self.internet_gateways.seen_by_ec2().any(|gateway| gateway.is_attached_to(id))
            || self.egress_only_gateways.seen_by_ec2().any(|gateway| gateway.is_attached_to(id))
            || self.route_tables.seen_by_ec2().any(|table| table.vpc_id == id && !table.is_main())
            || self.endpoints.seen_by_ec2().any(|endpoint| endpoint.is_in_vpc(id))
            || self.interfaces.iter().any(|interface| interface.is_in_vpc(id))
    }
}
