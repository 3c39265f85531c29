//! AuthorizeIngress: who may call what in a security group of the job's.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType, UserIdGroupPair};
use mayfly_ec2::{creating, tag_specification};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::job::Protocol;
use mayfly_model::plan::Plan;
use serde::{Deserialize, Serialize};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<AuthorizeIngress>();

/// The step.
pub struct AuthorizeIngress {
    ec2: Client,
    clock: Clock,
}

/// What the state hands over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    plan: Plan,
    security_group_id: String,
    ingress: Vec<Ingress>,
    /// Whose calls are let in where the ingress itself does not say it: what is in this group.
    from_group: Option<String>,
}

/// What may come in at one port.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ingress {
    port: u16,
    #[serde(default)]
    protocol: Protocol,
    /// From these blocks of IPv4 and IPv6.
    #[serde(default)]
    cidrs: Vec<String>,
    /// From what is in this group.
    from_group: Option<String>,
}

/// What the step answers.
#[derive(Debug, Serialize)]
pub struct Authorized {}

impl Step for AuthorizeIngress {
    type Input = Input;
    type Output = Authorized;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self { ec2: Client::new(environment.sdk()), clock: environment.clock() })
    }

    /// All in one call, which EC2 takes or refuses as a whole: where one rule is there, an earlier try has made them all.
    #[tracing::instrument(skip_all, fields(job = input.plan.job), err(level = "warn"))]
    async fn run(&self, input: Input) -> Result<Authorized, Error> {
        const DOING: &str = "let in who may call";
        let Self { ec2, clock } = self;
        let Input { plan, security_group_id, ingress, from_group } = input;
        let authorized = ec2
            .authorize_security_group_ingress()
            .group_id(&security_group_id)
            .set_ip_permissions(Some(ingress.iter().map(|one| one.permission(from_group.as_ref())).collect()))
            .tag_specifications(tag_specification(ResourceType::SecurityGroupRule, &plan.tags))
            .send()
            .await;
        match authorized {
            Err(error) if error.code() == Some("InvalidPermission.Duplicate") => {
                tracing::info!(security_group_id, "ingress found");
            }
            Err(error) => return Err(creating(DOING, &plan, clock.now())(error)),
            Ok(_) => tracing::info!(security_group_id, "ingress authorized"),
        }
        Ok(Authorized {})
    }
}

impl Ingress {
    fn permission(&self, from_group: Option<&String>) -> IpPermission {
        let (ipv6, ipv4): (Vec<&String>, Vec<&String>) =
            self.cidrs.iter().partition(|cidr| cidr.contains(':'));
        let ipv4 = ipv4.into_iter().map(|cidr| IpRange::builder().cidr_ip(cidr).build());
        let ipv6 = ipv6.into_iter().map(|cidr| Ipv6Range::builder().cidr_ipv6(cidr).build());
        let group = self.from_group.as_ref().or(from_group.filter(|_| self.cidrs.is_empty()));
        let group = group.iter().map(|group| UserIdGroupPair::builder().group_id(*group).build());
        let port = i32::from(self.port);
        IpPermission::builder()
            .ip_protocol(self.protocol.name())
            .from_port(port)
            .to_port(port)
            .set_ip_ranges(some(ipv4.collect()))
            .set_ipv6_ranges(some(ipv6.collect()))
            .set_user_id_group_pairs(some(group.collect()))
            .build()
    }
}

/// A list that says something.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn permission(ingress: serde_json::Value) -> IpPermission {
        serde_json::from_value::<Ingress>(ingress).expect("ingress").permission(None)
    }

    #[test]
    fn blocks_of_both_versions_of_ip_may_call_one_port() {
        let dns = json!({ "port": 53, "protocol": "udp", "cidrs": ["203.0.113.0/24", "2001:db8::/32"] });
        let permission = permission(dns);
        assert_eq!((permission.ip_protocol(), permission.from_port()), (Some("udp"), Some(53)));
        assert_eq!(permission.to_port(), Some(53));
        assert_eq!(permission.ip_ranges()[0].cidr_ip(), Some("203.0.113.0/24"));
        assert_eq!(permission.ipv6_ranges()[0].cidr_ipv6(), Some("2001:db8::/32"));
        assert!(permission.user_id_group_pairs.is_none(), "EC2 refuses an empty list");
    }

    #[test]
    fn what_is_in_a_group_may_call() {
        let permission = permission(json!({ "port": 443, "fromGroup": "sg-1" }));
        assert_eq!(permission.ip_protocol(), Some("tcp"));
        assert_eq!(permission.user_id_group_pairs()[0].group_id(), Some("sg-1"));
        assert!(permission.ip_ranges.is_none() && permission.ipv6_ranges.is_none());
    }
}
