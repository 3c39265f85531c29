//! The accounts that tests run in, each with a cloud of its own.

/// What an account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// One that has asked for more: many jobs run side by side.
    Generous,
    /// A new one, with AWS's own quotas.
    New,
}

impl Account {
    pub const ALL: [Self; 2] = [Self::Generous, Self::New];

    /// The quotas of EC2 and ECS; of load balancers a new account may have fifty, more than the tests.
    pub fn quotas(self) -> (local_ec2::Quotas, local_ecs::Quotas) {
        let ec2 = local_ec2::Quotas::default();
        let ecs = local_ecs::Quotas::default();
        match self {
            Self::Generous => {
                let ec2 = local_ec2::Quotas {
                    vpcs: 100,
                    internet_gateways: 100,
                    addresses: 100,
                    nat_gateways_per_zone: 100,
                    gateway_endpoints: 100,
                    egress_only_gateways: 100,
                    ..ec2
                };
                (ec2, local_ecs::Quotas { on_demand_vcpus: 1000, spot_vcpus: 1000, ..ecs })
            }
            Self::New => (ec2, ecs),
        }
    }
}
