//! Which addresses a subnet has, and which of them is next.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use local_aws::random::Random;

/// The benchmarking range of RFC 2544, which no one on the internet has: the public addresses of this cloud.
const PUBLIC: &str = "198.18.0.0/15";

/// The addresses that can be given out: all but the first four and the last (VPC user guide, "Subnet sizing").
pub fn usable(subnet: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let first = u32::from(subnet.network()) + 4;
    (first..u32::from(subnet.broadcast())).map(Ipv4Addr::from)
}

/// A usable address of `subnet` that is not `taken`, somewhere in the subnet, as EC2 chooses; `None` when it is full.
pub fn free(subnet: Ipv4Net, taken: &[Ipv4Addr], random: &Random) -> Option<Ipv4Addr> {
    let usable: Vec<_> = usable(subnet).filter(|address| !taken.contains(address)).collect();
    (!usable.is_empty()).then(|| usable[random.range(0..usable.len())])
}

/// A public address that is not `taken`; `None` when there are 131,067 already.
pub fn free_public(taken: &[Ipv4Addr], random: &Random) -> Option<Ipv4Addr> {
    free(PUBLIC.parse().expect("the constant is a network"), taken, random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_gives_each_address_once_but_for_its_five_reserved_ones() {
        let subnet: Ipv4Net = "10.0.0.16/28".parse().expect("a network");
        let (random, mut taken) = (Random::default(), Vec::new());
        while let Some(address) = free(subnet, &taken, &random) {
            taken.push(address);
        }
        taken.sort();
        let expected: Vec<Ipv4Addr> = (20..=30).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect();
        assert_eq!(taken, expected);
        taken.remove(3);
        assert_eq!(free(subnet, &taken, &random), Some(Ipv4Addr::new(10, 0, 0, 23)));
    }
}
