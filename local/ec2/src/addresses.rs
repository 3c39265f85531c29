//! Which addresses a subnet has, and which of them is next.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use local_aws::random::Random;

/// The public addresses of this cloud: a part of the loopback network, all of which is this machine on Linux. So whoever
/// has such an address can be called by it from here, and from nowhere else, which is as it should be: on AWS a public
/// address is one that the caller's own machine reaches.
const PUBLIC: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 64, 0, 0), 10);

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

/// A public address that is not `taken`; `None` when hundreds in a row are. There are four million, too many to list.
pub fn free_public(taken: &[Ipv4Addr], random: &Random) -> Option<Ipv4Addr> {
    let (first, last) = (u32::from(PUBLIC.network()) + 1, u32::from(PUBLIC.broadcast()));
    let any = || Ipv4Addr::from(random.range(first..last));
    std::iter::repeat_with(any).take(1000).find(|address| !taken.contains(address))
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
    #[test]
    fn a_public_address_is_one_that_this_machine_answers_on() {
        let (random, mut taken) = (Random::seeded(1), Vec::new());
        for _ in 0..100 {
            let address = free_public(&taken, &random).expect("there are many");
            assert!(address.is_loopback() && PUBLIC.contains(&address) && !taken.contains(&address));
            taken.push(address);
        }
    }
}
