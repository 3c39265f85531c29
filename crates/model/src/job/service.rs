//! The document's `service`: a container that others call, for a while.

use std::fmt::{self, Display, Formatter};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A container that others call until its time is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// What it listens on.
    pub ports: Vec<Port>,
    /// Who may call it, as CIDR blocks of IPv4 or IPv6.
    pub allow_from: Vec<String>,
    /// What runs in place of the image's `ENTRYPOINT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// What it is given in place of the image's `CMD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// How long it may be called, in minutes.
    pub ttl_minutes: u32,
    /// How many containers it has side by side; one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// How it is told whether a container is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Whether it is called through a load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
}

/// A port of a service's container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its number, in the container and for who calls.
    pub port: u16,
    /// Of which protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

impl Display for Port {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.name())
    }
}

/// The protocols of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As the document, EC2 and ECS write it.
    /// Source: EC2 API Reference, `IpPermission`, `IpProtocol`; ECS API Reference, `PortMapping`, `protocol`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// How it is told whether a service's container is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// ECS's own check, which runs inside the container: `CMD` and an argument vector, or `CMD-SHELL` and a line for the
    /// image's shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What the load balancer asks for with HTTP; without it a connection is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The TCP port at which the load balancer asks, where it is not the one that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The document's `loadBalancer`: true, false or an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LoadBalancer {
    /// One without TLS, or none.
    Plain(bool),
    /// One that speaks TLS to who calls.
    Tls(Tls),
}

/// A load balancer with a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// The certificate's ARN in Certificate Manager.
    pub certificate_arn: String,
}

impl<'de> Deserialize<'de> for LoadBalancer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TrueOrTls)
    }
}

/// Untagged by hand: serde's own would not say which field inside the object is wrong.
struct TrueOrTls;

impl<'de> Visitor<'de> for TrueOrTls {
    type Value = LoadBalancer;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or an object with certificateArn")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<LoadBalancer, E> {
        Ok(LoadBalancer::Plain(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LoadBalancer, A::Error> {
        Tls::deserialize(MapAccessDeserializer::new(map)).map(LoadBalancer::Tls)
    }
}

impl Service {
    /// Whether it is called through a load balancer.
    pub fn has_load_balancer(&self) -> bool {
        !matches!(self.load_balancer, None | Some(LoadBalancer::Plain(false)))
    }

    /// The certificate of its load balancer, where it speaks TLS.
    pub fn certificate_arn(&self) -> Option<&str> {
        match &self.load_balancer {
            Some(LoadBalancer::Tls(tls)) => Some(&tls.certificate_arn),
            _ => None,
        }
    }

    /// The TCP port at which a load balancer asks after the container's health for `port`: the one that the document names,
    /// the port itself, or, since nothing can be asked by UDP, the first TCP port.
    pub fn health_port(&self, port: u16) -> Option<u16> {
        let named = self.health_check.as_ref().and_then(|check| check.port);
        let tcp = || self.ports.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.port);
        named.or_else(|| tcp().find(|tcp| *tcp == port)).or_else(|| tcp().next())
    }
}
