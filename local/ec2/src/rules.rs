//! A security group's rules, as calls give them and as they are kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};

use crate::Ec2;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::tags::Tags;
use crate::xml::Items;

/// All addresses of version 4, and of version 6.
pub const EVERY_IPV4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
pub const EVERY_IPV6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));

/// Whether a rule is about what comes in or about what goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ingress,
    Egress,
}

/// One rule, from or to one range or group.
#[derive(Clone, Debug)]
pub struct Rule {
    id: String,
    protocol: String,
    from_port: Option<i32>,
    to_port: Option<i32>,
    peer: Peer,
    description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Peer {
    Range(IpNet),
    Group { account: Option<String>, id: String },
}

/// The rules of one direction.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub Vec<Rule>);

/// Rules as Describe answers them: those of the same protocol and ports are one permission.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    ip_protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_port: Option<i32>,
    groups: Items<GroupPair>,
    ip_ranges: Items<Range>,
    ipv6_ranges: Items<Ipv6Range>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupPair {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    group_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    cidr_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ipv6Range {
    cidr_ipv6: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// A new rule as the call that adds it answers it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRule {
    security_group_rule_id: String,
    group_id: String,
    group_owner_id: String,
    is_egress: bool,
    ip_protocol: String,
    from_port: i32,
    to_port: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr_ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referenced_group_info: Option<ReferencedGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    tag_set: Tags,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferencedGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    group_id: String,
}

impl Rule {
    /// Everything from or to the addresses.
    fn all_of(range: IpNet, ec2: &Ec2) -> Self {
        Self::all(Peer::Range(range), ec2)
    }

    /// Everything from or to the members of a group: a default group's ingress (VPC user guide, "Default security
    /// groups").
    pub fn all_members(group_id: &str, ec2: &Ec2) -> Self {
        let account = Some(ec2.upstream.account.clone());
        Self::all(Peer::Group { account, id: group_id.to_owned() }, ec2)
    }

    fn all(peer: Peer, ec2: &Ec2) -> Self {
        let protocol = "-1".into();
        Self { id: ec2.new_id("sgr"), protocol, from_port: None, to_port: None, peer, description: None }
    }

    /// Takes `IpPermissions`, which must have rules.
    pub fn take(parameters: &mut Parameters, ec2: &Ec2) -> Result<Vec<Self>, ApiError> {
        let mut rules = Vec::new();
        for permission in parameters.take_structures("IpPermissions") {
            rules.extend(Self::of_permission(permission, ec2)?);
        }
        if rules.is_empty() {
            let message =
                "The request must contain the parameter IpPermissions with a source or a destination";
            return Err(ApiError::new("MissingParameter", message));
        }
        Ok(rules)
    }

    fn of_permission(mut permission: Parameters, ec2: &Ec2) -> Result<Vec<Self>, ApiError> {
        let protocol = permission.require("IpProtocol")?;
        let mut ports = [permission.take_port("FromPort")?, permission.take_port("ToPort")?];
        match (protocol.as_str(), ports) {
            // "If the protocol is -1, all ports are allowed whatever is given" (EC2 API reference, IpPermission).
            ("-1", _) => ports = [None, None],
            ("tcp" | "udp", [Some(from), Some(to)]) if from <= to => (),
            ("tcp" | "udp", _) => {
                let message =
                    "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
                return Err(ApiError::new("InvalidParameterValue", message));
            }
            _ => return Err(ApiError::invalid_value("IpProtocol", &protocol, "Here it is -1, tcp or udp.")),
        }
        let rule = |peer, description| Self {
            id: ec2.new_id("sgr"),
            protocol: protocol.clone(),
            from_port: ports[0],
            to_port: ports[1],
            peer,
            description,
        };
        let mut rules = Vec::new();
        for mut range in permission.take_structures("IpRanges") {
            let cidr = IpNet::V4(range.take_cidr("CidrIp")?);
            rules.push(rule(Peer::Range(cidr.trunc()), range.take("Description")));
            range.finish()?;
        }
        for mut range in permission.take_structures("Ipv6Ranges") {
            let cidr = IpNet::V6(range.take_cidr("CidrIpv6")?);
            rules.push(rule(Peer::Range(cidr.trunc()), range.take("Description")));
            range.finish()?;
        }
        for mut group in permission.take_structures("Groups") {
            let id = group.require("GroupId")?;
            let peer = Peer::Group { account: Some(ec2.upstream.account.clone()), id };
            rules.push(rule(peer, group.take("Description")));
            group.finish()?;
        }
        permission.finish()?;
        Ok(rules)
    }

    /// Whether it lets the same pass; a description does not count.
    pub fn is(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && (self.from_port, self.to_port) == (other.from_port, other.to_port)
            && self.peer == other.peer
    }

    /// Whether it lets what has the protocol and the server's port pass, when the other end has the address, or is a
    /// member of the groups.
    pub fn admits(&self, end: IpAddr, groups: &[String], protocol: &str, port: u16) -> bool {
        let met = match &self.peer {
            Peer::Range(range) => range.contains(&end),
            Peer::Group { id, .. } => groups.contains(id),
        };
        met && self.opens(protocol, port)
    }

    /// Whether it lets them pass for all addresses of a version.
    pub fn admits_all(&self, range: IpNet, protocol: &str, port: u16) -> bool {
        self.peer == Peer::Range(range) && self.opens(protocol, port)
    }

    fn opens(&self, protocol: &str, port: u16) -> bool {
        let port = i32::from(port);
        let in_range =
            self.from_port.is_none_or(|from| from <= port) && self.to_port.is_none_or(|to| port <= to);
        self.protocol == "-1" || (self.protocol == protocol && in_range)
    }

    /// The group that it names.
    pub fn group(&self) -> Option<&str> {
        match &self.peer {
            Peer::Group { id, .. } => Some(id),
            Peer::Range(_) => None,
        }
    }

    /// Whether it counts among the rules of IP version 4, and of version 6. One that names a group is a rule of both:
    /// what the page of quotas said once and says no more.
    fn versions(&self) -> [bool; 2] {
        match self.peer {
            Peer::Range(IpNet::V4(_)) => [true, false],
            Peer::Range(IpNet::V6(_)) => [false, true],
            Peer::Group { .. } => [true, true],
        }
    }

    /// What an answer says of it when it is new in the group. Ports of -1 are all ports.
    pub fn as_new(&self, account: &str, group_id: &str, direction: Direction, tags: &Tags) -> NewRule {
        let (mut cidr_ipv4, mut cidr_ipv6, mut referenced_group_info) = (None, None, None);
        match self.peer.clone() {
            Peer::Range(IpNet::V4(cidr)) => cidr_ipv4 = Some(cidr.to_string()),
            Peer::Range(IpNet::V6(cidr)) => cidr_ipv6 = Some(cidr.to_string()),
            Peer::Group { account, id } => {
                referenced_group_info = Some(ReferencedGroup { user_id: account, group_id: id });
            }
        }
        NewRule {
            security_group_rule_id: self.id.clone(),
            group_id: group_id.to_owned(),
            group_owner_id: account.to_owned(),
            is_egress: direction == Direction::Egress,
            ip_protocol: self.protocol.clone(),
            from_port: self.from_port.unwrap_or(-1),
            to_port: self.to_port.unwrap_or(-1),
            cidr_ipv4,
            cidr_ipv6,
            referenced_group_info,
            description: self.description.clone(),
            tag_set: tags.clone(),
        }
    }
}

impl Rules {
    /// The egress of a new group: everything (VPC user guide, "Security groups"). That it is IPv6 too where the VPC has such
    /// a block is documented for the default group ("Default security groups") and a guess for others, and so is that a
    /// block which is still associating counts.
    pub fn of_new_group(has_ipv6: bool, ec2: &Ec2) -> Self {
        let mut ranges = vec![EVERY_IPV4];
        ranges.extend(has_ipv6.then_some(EVERY_IPV6));
        Self(ranges.into_iter().map(|range| Rule::all_of(range, ec2)).collect())
    }

    /// The rules that MiniStack keeps.
    pub fn of_ministack(permissions: Option<Vec<aws_sdk_ec2::types::IpPermission>>, ec2: &Ec2) -> Self {
        let rules = |permission: aws_sdk_ec2::types::IpPermission| {
            let (from_port, to_port) = (permission.from_port, permission.to_port);
            let protocol = permission.ip_protocol.unwrap_or_default();
            let ranges = permission.ip_ranges.unwrap_or_default().into_iter();
            let ranges = ranges
                .filter_map(|range| Some((Peer::Range(range.cidr_ip?.parse().ok()?), range.description)));
            let ipv6 = permission.ipv6_ranges.unwrap_or_default().into_iter();
            let ipv6 = ipv6
                .filter_map(|range| Some((Peer::Range(range.cidr_ipv6?.parse().ok()?), range.description)));
            let pairs = permission.user_id_group_pairs.unwrap_or_default().into_iter();
            let pairs = pairs.filter_map(|pair| {
                Some((Peer::Group { account: pair.user_id, id: pair.group_id? }, pair.description))
            });
            let peers: Vec<_> = ranges.chain(ipv6).chain(pairs).collect();
            peers.into_iter().map(move |(peer, description)| Rule {
                id: ec2.new_id("sgr"),
                protocol: protocol.clone(),
                from_port,
                to_port,
                peer,
                description,
            })
        };
        Self(permissions.unwrap_or_default().into_iter().flat_map(rules).collect())
    }

    pub fn has(&self, rule: &Rule) -> bool {
        self.0.iter().any(|mine| mine.is(rule))
    }

    /// How many of the rules count beside `rule`: "This quota is enforced separately for IPv4 rules and IPv6 rules" (VPC
    /// user guide, "Amazon VPC quotas").
    pub fn beside(&self, rule: &Rule) -> usize {
        let of_version = |version: usize| self.0.iter().filter(|mine| mine.versions()[version]).count();
        (0..2).filter(|version| rule.versions()[*version]).map(of_version).max().unwrap_or_default()
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut permissions: Vec<Permission> = Vec::new();
        for rule in &self.0 {
            let index = permissions.iter().position(|permission| {
                permission.ip_protocol == rule.protocol
                    && (permission.from_port, permission.to_port) == (rule.from_port, rule.to_port)
            });
            let index = index.unwrap_or_else(|| {
                permissions.push(Permission {
                    ip_protocol: rule.protocol.clone(),
                    from_port: rule.from_port,
                    to_port: rule.to_port,
                    groups: Items::from_iter([]),
                    ip_ranges: Items::from_iter([]),
                    ipv6_ranges: Items::from_iter([]),
                });
                permissions.len() - 1
            });
            let (permission, description) = (&mut permissions[index], rule.description.clone());
            match rule.peer.clone() {
                Peer::Range(IpNet::V4(cidr)) => {
                    permission.ip_ranges.item.push(Range { cidr_ip: cidr.to_string(), description });
                }
                Peer::Range(IpNet::V6(cidr)) => {
                    permission.ipv6_ranges.item.push(Ipv6Range { cidr_ipv6: cidr.to_string(), description });
                }
                Peer::Group { account, id } => {
                    permission.groups.item.push(GroupPair { user_id: account, group_id: id, description });
                }
            }
        }
        permissions.into_iter().collect::<Items<_>>().serialize(serializer)
    }
}

impl Parameters {
    fn take_port(&mut self, name: &str) -> Result<Option<i32>, ApiError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let port = text.parse().ok().filter(|port| (-1..=65535).contains(port));
        port.map(Some).ok_or_else(|| ApiError::invalid_value(name, &text, "It must be a port, 0 to 65535."))
    }

    fn take_cidr<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, ApiError> {
        let text = self.require(name)?;
        text.parse()
            .map_err(|_| ApiError::new("InvalidParameterValue", format!("CIDR block {text} is malformed")))
    }
}
