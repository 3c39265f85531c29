//! The part of a VPC's block of IPv6 that a subnet has.

use std::net::Ipv6Addr;

use aws_sdk_ec2::types::Subnet;
use mayfly_lambda::error::Error;

/// The `index`th /64 of the VPC's block: AWS gives each VPC a /56.
/// Source: VPC user guide, "VPC CIDR blocks", IPv6.
pub(crate) fn part(vpc_block: &str, index: u8) -> Result<String, Error> {
    let block = vpc_block.strip_suffix("/56").and_then(|address| address.parse::<Ipv6Addr>().ok());
    let block = block.ok_or_else(|| {
        Error::internal("choose a subnet's addresses", format!("the VPC's block is {vpc_block}, and no /56"))
    })?;
    Ok(format!("{}/64", Ipv6Addr::from_bits(block.to_bits() | u128::from(index) << 64)))
}

/// Whether the subnet has the block. It is written in more than one way.
pub(crate) fn is_of(subnet: &Subnet, block: &str) -> bool {
    let network =
        |block: &str| block.strip_suffix("/64").and_then(|address| address.parse::<Ipv6Addr>().ok());
    let blocks = subnet.ipv6_cidr_block_association_set().iter().filter_map(|one| one.ipv6_cidr_block());
    let wanted = network(block);
    wanted.is_some() && blocks.map(network).any(|found| found == wanted)
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::SubnetIpv6CidrBlockAssociation;

    use super::*;

    #[test]
    fn each_subnet_has_a_part_of_its_own() {
        let vpc = "2001:db8:1234:5600::/56";
        let parts = [0, 1, 255].map(|index| part(vpc, index).unwrap());
        assert_eq!(parts, ["2001:db8:1234:5600::/64", "2001:db8:1234:5601::/64", "2001:db8:1234:56ff::/64"]);
        for no_block in ["", "10.0.0.0/24", "2001:db8::/48", "::/56x"] {
            assert_eq!(part(no_block, 0).unwrap_err().name(), "Internal", "{no_block}");
        }
    }

    #[test]
    fn a_subnet_is_known_by_its_block() {
        let block = SubnetIpv6CidrBlockAssociation::builder().ipv6_cidr_block("2001:db8:0:5600:0:0:0:0/64");
        let subnet = Subnet::builder().ipv6_cidr_block_association_set(block.build()).build();
        assert!(is_of(&subnet, "2001:db8:0:5600::/64"));
        assert!(!is_of(&subnet, "2001:db8:0:5601::/64") && !is_of(&Subnet::builder().build(), "::/64"));
    }
}
