//! A security group's rules, as calls give them and as they are kept.

use ipnet::Ipv4Net;
use serde::{Serialize, Serializer};

use crate::Ec2;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::tags::Tags;
use crate::xml::Items;

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
    Range(String),
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
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupPair {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    group_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    cidr_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// A new egress rule as AuthorizeSecurityGroupEgress answers it.
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
    referenced_group_info: Option<GroupPair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    tag_set: Tags,
}

impl Rule {
    /// Everything from or to all addresses: a new group's egress (VPC user guide, "Security groups").
    pub fn all_addresses(ec2: &Ec2) -> Self {
        Self::all(Peer::Range("0.0.0.0/0".into()), ec2)
    }

    /// Everything from or to the members of a group: a default group's ingress (same page).
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
            let message = "The request must contain the parameter IpPermissions with a destination";
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
            let text = range.require("CidrIp")?;
            let cidr: Ipv4Net = text.parse().map_err(|_| {
                ApiError::new("InvalidParameterValue", format!("CIDR block {text} is malformed"))
            })?;
            rules.push(rule(Peer::Range(cidr.trunc().to_string()), range.take("Description")));
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

    /// Whether it lets TCP connections with this port of servers anywhere pass.
    pub fn opens(&self, port: i32) -> bool {
        let in_range =
            self.from_port.is_none_or(|from| from <= port) && self.to_port.is_none_or(|to| port <= to);
        let anywhere = self.peer == Peer::Range("0.0.0.0/0".into());
        anywhere && (self.protocol == "-1" || (self.protocol == "tcp" && in_range))
    }

    /// The group that it names.
    pub fn group(&self) -> Option<&str> {
        match &self.peer {
            Peer::Group { id, .. } => Some(id),
            Peer::Range(_) => None,
        }
    }

    /// What an answer says of it when it is new in the egress of `group_id`. Ports of -1 are all ports.
    pub fn as_new(&self, account: &str, group_id: &str, tags: &Tags) -> NewRule {
        let (cidr_ipv4, referenced_group_info) = match self.peer.clone() {
            Peer::Range(cidr) => (Some(cidr), None),
            Peer::Group { account, id } => (None, Some(GroupPair { user_id: account, group_id: id })),
        };
        NewRule {
            security_group_rule_id: self.id.clone(),
            group_id: group_id.to_owned(),
            group_owner_id: account.to_owned(),
            is_egress: true,
            ip_protocol: self.protocol.clone(),
            from_port: self.from_port.unwrap_or(-1),
            to_port: self.to_port.unwrap_or(-1),
            cidr_ipv4,
            referenced_group_info,
            description: self.description.clone(),
            tag_set: tags.clone(),
        }
    }
}

impl Rules {
    /// The rules that MiniStack keeps.
    pub fn of_ministack(permissions: Option<Vec<aws_sdk_ec2::types::IpPermission>>, ec2: &Ec2) -> Self {
        let rules = |permission: aws_sdk_ec2::types::IpPermission| {
            let (from_port, to_port) = (permission.from_port, permission.to_port);
            let protocol = permission.ip_protocol.unwrap_or_default();
            let ranges = permission.ip_ranges.unwrap_or_default().into_iter();
            let ranges = ranges.filter_map(|range| Some((Peer::Range(range.cidr_ip?), range.description)));
            let pairs = permission.user_id_group_pairs.unwrap_or_default().into_iter();
            let pairs = pairs.filter_map(|pair| {
                Some((Peer::Group { account: pair.user_id, id: pair.group_id? }, pair.description))
            });
            let peers: Vec<_> = ranges.chain(pairs).collect();
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
                });
                permissions.len() - 1
            });
            let permission = &mut permissions[index];
            match rule.peer.clone() {
                Peer::Range(cidr_ip) => {
                    let description = rule.description.clone();
                    permission.ip_ranges.item.push(Range { cidr_ip, description });
                }
                Peer::Group { account, id } => {
                    permission.groups.item.push(GroupPair { user_id: account, group_id: id });
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
}
