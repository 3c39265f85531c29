//! Tells which quota an error code of Elastic Load Balancing's is about.
//! Source: Network Load Balancers guide, "Quotas for your Network Load Balancers"; the numbers are those of Service Quotas.

use mayfly_lambda::quota::Quota;

const QUOTAS: [Quota; 3] = [
    Quota {
        code: "TooManyLoadBalancers",
        name: "Network Load Balancers per Region",
        number: "L-69A177A2",
        default: 50,
        waits: true,
    },
    // It is full only where something leaves its target groups behind, which no job's end changes.
    Quota {
        code: "TooManyTargetGroups",
        name: "Target Groups per Region",
        number: "L-B22855CB",
        default: 3000,
        waits: false,
    },
    Quota {
        code: "TooManyListeners",
        name: "Listeners per Network Load Balancer",
        number: "L-57A373D6",
        default: 50,
        waits: false,
    },
];

/// The quota that an error code is about.
pub fn of(code: &str) -> Option<&'static Quota> {
    QUOTAS.iter().find(|quota| quota.code == code)
}
