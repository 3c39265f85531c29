//! The stand-in as a function of a request, without a socket.

use crate::cloud::Cloud;

/// A network in which everything that EC2 draws follows from `seed`.
async fn network(seed: u64) -> String {
    let cloud = Cloud::in_process(seed);
    let vpc = cloud.vpc("job").await;
    let subnet = cloud.subnet(&vpc, "10.1.0.0/24", "job").await;
    let (group, address) = (cloud.group(&vpc, "group", "job").await, cloud.address("job").await);
    let interface = cloud.interface(&subnet, &[&group], true, "job").await;
    let described = cloud.client.describe_network_interfaces().network_interface_ids(&interface.id);
    let described = described.send().await.expect("an answer").network_interfaces.expect("interfaces");
    assert_eq!(described[0].groups()[0].group_id(), Some(group.as_str()));
    format!("{address} {interface:?}")
}

#[tokio::test]
async fn a_seed_decides_what_a_network_made_without_a_socket_is_called() {
    let first = network(7).await;
    assert_eq!(network(7).await, first);
    assert_ne!(network(8).await, first);
}
