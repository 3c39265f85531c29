//! A service as the `Jobs` table knows it: where it can be called, and until when.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use mayfly_model::job::Port;
use mayfly_model::record;
use mayfly_model::service::{Address, Entrance};
use serde::Serialize;

use crate::view::{Line, Tone};

/// The attributes that say so.
pub const ATTRIBUTES: [&str; 3] = [record::END, record::ADDRESSES, record::ENTRANCE];

/// Where and until when a service can be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Callable {
    /// A URL to try first.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    addresses: Vec<Address>,
    ports: Vec<Port>,
    /// RFC 3339 UTC.
    end: String,
}

impl Callable {
    /// What an item of the table says; none of a job that is no service, or is not ready yet.
    pub fn of(item: &HashMap<String, AttributeValue>) -> Option<Self> {
        let text = |name| item.get(name).and_then(|value| value.as_s().ok());
        let entrance: Entrance = serde_json::from_str(text(record::ENTRANCE)?).ok()?;
        let addresses = text(record::ADDRESSES).and_then(|addresses| serde_json::from_str(addresses).ok());
        let addresses: Vec<Address> = addresses.unwrap_or_default();
        let url = entrance.url(&addresses);
        Some(Self { url, addresses, ports: entrance.ports, end: text(record::END)?.clone() })
    }

    /// Where, and until when, in one line.
    pub fn in_short(&self) -> String {
        let hosts = || self.addresses.iter().filter_map(outermost).collect::<Vec<_>>().join(", ");
        let place = self.url.clone().unwrap_or_else(hosts);
        if place.is_empty() {
            return format!("no container runs, until {}", self.end);
        }
        format!("{place} until {}", self.end)
    }

    /// The same, with a line for each container.
    pub fn lines(&self) -> Vec<Line> {
        let ports = self.ports.iter().map(Port::to_string).collect::<Vec<_>>().join(", ");
        let containers = self.addresses.iter().map(|address| {
            let inside = address.private_ip.as_ref().filter(|_| address.public_ip.is_some());
            let inside = inside.map(|ip| format!(", {ip} inside its network")).unwrap_or_default();
            format!("         {}{inside}", outermost(address).unwrap_or("a container without an address"))
        });
        std::iter::once((Tone::Good, format!("ready    {}", self.in_short())))
            .chain(std::iter::once((Tone::Plain, format!("         {ports}"))))
            .chain(containers.map(|line| (Tone::Plain, line)))
            .collect()
    }
}

/// The address by which most people can call.
fn outermost(address: &Address) -> Option<&str> {
    address.public_ip.as_deref().or(address.private_ip.as_deref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn item(attributes: &Value) -> HashMap<String, AttributeValue> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let attributes = attributes.as_object().unwrap().iter();
        attributes.map(|(name, value)| (name.clone(), AttributeValue::S(text(value)))).collect()
    }

    fn lines(attributes: &Value) -> Vec<String> {
        Callable::of(&item(attributes)).unwrap().lines().into_iter().map(|(_, line)| line).collect()
    }

    const END: &str = "2030-01-01T12:00:00Z";

    #[test]
    fn a_service_that_is_ready_says_where_it_is_and_until_when() {
        let address = json!([{ "taskArn": "a", "privateIp": "10.0.0.1", "publicIp": "192.0.2.1" }]);
        let entrance = json!({ "ports": [{ "port": 80, "protocol": "tcp" }], "tls": false });
        assert_eq!(
            lines(&json!({ "end": END, "entrance": entrance, "addresses": address })),
            [
                "ready    http://192.0.2.1 until 2030-01-01T12:00:00Z",
                "         80/tcp",
                "         192.0.2.1, 10.0.0.1 inside its network"
            ]
        );
        assert_eq!(Callable::of(&item(&json!({ "addresses": address }))), None, "it is not ready yet");
    }

    #[test]
    fn a_service_without_a_url_is_called_at_its_addresses() {
        let addresses =
            json!([{ "taskArn": "a", "privateIp": "10.0.0.1" }, { "taskArn": "b", "privateIp": "10.0.0.2" }]);
        let entrance = json!({ "ports": [{ "port": 53, "protocol": "udp" }], "tls": false });
        assert_eq!(
            lines(&json!({ "end": END, "entrance": entrance, "addresses": addresses })),
            [
                "ready    10.0.0.1, 10.0.0.2 until 2030-01-01T12:00:00Z",
                "         53/udp",
                "         10.0.0.1",
                "         10.0.0.2"
            ]
        );
        assert_eq!(
            lines(&json!({ "end": END, "entrance": entrance }))[0],
            "ready    no container runs, until 2030-01-01T12:00:00Z"
        );
    }
}
