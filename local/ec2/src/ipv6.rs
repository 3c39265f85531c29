//! Blocks of IPv6 addresses: which a VPC is given, and their association with it and with its subnets.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use local_aws::random::Random;
use serde::Serialize;

use crate::error::ApiError;
use crate::{Ec2, State};

/// How long the block of a new VPC is `associating`, in the cloud's time. A guess: AWS says only that there is the state.
pub const ASSOCIATING: Duration = Duration::from_secs(5);

/// The range for documentation of RFC 3849, which no one on the internet has: the IPv6 addresses of this cloud.
const PUBLIC: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32);

/// The size of the block that Amazon gives a VPC (EC2 API reference, CreateVpc, `AmazonProvidedIpv6CidrBlock`).
const OF_VPC: u8 = 56;

/// The association of a block with a VPC or a subnet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ipv6Association {
    association_id: String,
    /// Empty as long as a VPC's is `associating` (AWS CLI reference, create-vpc, the example).
    ipv6_cidr_block: String,
    ipv6_cidr_block_state: BlockState,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_border_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6_pool: Option<&'static str>,
    #[serde(skip)]
    block: Option<Ipv6Net>,
}

#[derive(Clone, Debug, Serialize)]
struct BlockState {
    state: &'static str,
}

impl Ipv6Association {
    /// Of a VPC, whose block is not known yet.
    pub fn of_vpc(ec2: &Ec2) -> Self {
        Self {
            network_border_group: Some(ec2.upstream.region.clone()),
            ipv6_pool: Some("Amazon"),
            ..Self::new("vpc-cidr-assoc", String::new(), ec2)
        }
    }

    /// Of a subnet, with a part of the VPC's block.
    pub fn of_subnet(block: Ipv6Net, ec2: &Ec2) -> Self {
        Self { block: Some(block), ..Self::new("subnet-cidr-assoc", block.to_string(), ec2) }
    }

    fn new(prefix: &str, ipv6_cidr_block: String, ec2: &Ec2) -> Self {
        Self {
            association_id: ec2.new_id(prefix),
            ipv6_cidr_block,
            ipv6_cidr_block_state: BlockState { state: "associating" },
            network_border_group: None,
            ipv6_pool: None,
            block: None,
        }
    }

    pub fn become_associated(&mut self, block: Ipv6Net) {
        self.ipv6_cidr_block = block.to_string();
        self.ipv6_cidr_block_state.state = "associated";
        self.block = Some(block);
    }

    pub fn block(&self) -> Option<Ipv6Net> {
        self.block
    }
}

impl State {
    /// A block for a VPC that no other has.
    pub fn free_ipv6_block(&self, random: &Random) -> Ipv6Net {
        let taken: Vec<_> = self.vpcs.seen_by_ec2().filter_map(|vpc| vpc.ipv6_block()).collect();
        loop {
            let block = within(PUBLIC, OF_VPC, random);
            if !taken.contains(&block) {
                return block;
            }
        }
    }
}

/// Some block of the size in the range, whose own address is no one's (VPC user guide, "Subnet sizing").
fn within(range: Ipv6Net, prefix_len: u8, random: &Random) -> Ipv6Net {
    let bits = random.value::<u128>() & u128::from(range.hostmask());
    let address = Ipv6Addr::from(u128::from(range.network()) | bits);
    Ipv6Net::new(address, prefix_len).expect("the size is one of IPv6").trunc()
}

/// An address of the subnet's block that no interface has. There are always some.
pub fn free(block: Ipv6Net, taken: &[Ipv6Addr], random: &Random) -> Ipv6Addr {
    // "The first four IPv6 addresses and the last IPv6 address in each subnet" are AWS's (same page).
    let reserved = |address: Ipv6Addr| {
        let number = u128::from(address);
        number < u128::from(block.network()) + 4 || address == block.broadcast()
    };
    loop {
        let address = within(block, 128, random).addr();
        if !reserved(address) && !taken.contains(&address) {
            return address;
        }
    }
}

/// A block of the sizes that subnets have, in its canonical form: "between /44 and /64 in increments of /4" (VPC user
/// guide, "Subnet CIDR blocks"). The code for another size is a guess after that for IPv4.
pub fn subnet_block(text: &str) -> Result<Ipv6Net, ApiError> {
    let block: Ipv6Net = text.parse().map_err(|_| {
        ApiError::invalid_value("ipv6CidrBlock", text, "This is not a valid IPv6 CIDR block.")
    })?;
    if !(44..=64).contains(&block.prefix_len()) || !block.prefix_len().is_multiple_of(4) {
        return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{text}' is invalid.")));
    }
    Ok(block.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_its_block_and_nobody_elses() {
        let (random, block) = (Random::seeded(1), "2001:db8:0:1::/125".parse().expect("a block"));
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(free(block, &taken, &random));
        }
        taken.sort();
        // Five of the eight are reserved.
        let expected = ["2001:db8:0:1::4", "2001:db8:0:1::5", "2001:db8:0:1::6"];
        assert_eq!(taken, expected.map(|address| address.parse::<Ipv6Addr>().expect("an address")));
    }

    #[test]
    fn a_subnets_block_has_one_of_six_sizes() {
        assert_eq!(
            subnet_block("2001:db8::1/64").map(|block| block.to_string()).as_deref(),
            Ok("2001:db8::/64")
        );
        assert!(subnet_block("2001:db8::/60").is_ok());
        for text in ["2001:db8::/62", "2001:db8::/68", "2001:db8::/40"] {
            assert_eq!(subnet_block(text).expect_err(text).code, "InvalidSubnet.Range");
        }
        assert_eq!(subnet_block("10.0.0.0/24").expect_err("of IPv4").code, "InvalidParameterValue");
    }
}
