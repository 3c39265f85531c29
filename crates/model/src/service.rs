//! What is known of a service while it can be called: by whom and where, until when, and what its containers have done.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::job::{Port, Protocol};

/// The longest that a service can be called in all, however often it is extended.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// So many containers that end by themselves, so soon after one another, and the service cannot stay up.
const ENDS_LIMIT: usize = 3;
const ENDS_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// The most containers that have stopped of which it is remembered that they have: the news of a start may be late.
const STOPPED_LIMIT: usize = 30;

/// The `source` of Mayfly's own events.
pub const EVENT_SOURCE: &str = "mayfly";
/// The `detail-type` of the event whose detail is a [`Ready`].
pub const READY: &str = "Mayfly Service Ready";

/// A container of a service, and where it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Its task's ARN.
    pub task_arn: String,
    /// The address inside its network; none where that has no IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    /// The address on the internet, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
}

/// What a service is called at, whichever containers it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entrance {
    /// What it listens on.
    pub ports: Vec<Port>,
    /// The host name of its load balancer, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether the load balancer speaks TLS.
    #[serde(default)]
    pub tls: bool,
}

impl Entrance {
    /// A URL to try first: of the load balancer or else of the first container, at the first TCP port. None where there is
    /// no such port, or no address yet.
    pub fn url(&self, addresses: &[Address]) -> Option<String> {
        let port = self.ports.iter().find(|port| port.protocol == Protocol::Tcp)?.port;
        let of_container = |address: &Address| address.public_ip.clone().or(address.private_ip.clone());
        let host = self.host.clone().or_else(|| addresses.iter().find_map(of_container))?;
        let scheme = if self.tls { "https" } else { "http" };
        // A URL of the scheme's own port is written without it.
        let own = if self.tls { 443 } else { 80 };
        Some(if port == own { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") })
    }
}

/// Where and until when a service can be called: the detail of the event `Mayfly Service Ready`, and what `BeginService`
/// answers. The event comes when the service is ready, and again whenever a container with another address is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The stack's name.
    pub stack: String,
    /// The job's id.
    pub job: String,
    /// Its containers that run.
    pub addresses: Vec<Address>,
    /// What they listen on.
    pub ports: Vec<Port>,
    /// A URL to try first, see [`Entrance::url`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it ends, RFC 3339 UTC.
    pub end: String,
}

/// What ECS has told of a service's containers. Its events may come twice, late, and one before the other.
/// Source: EventBridge user guide, "Event delivery"; ECS developer guide, "Amazon ECS task state change events": of two
/// events the one with the higher `version` is the newer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Containers {
    /// The version of the last event of each that runs, by its task's ARN.
    pub running: BTreeMap<String, u64>,
    /// The tasks that have stopped last, the latest at the end.
    pub stopped: Vec<String>,
    /// How many have run in all.
    pub started: u64,
    /// When those ended by themselves that have done so last.
    pub ends: Vec<Timestamp>,
}

impl Containers {
    /// Takes in that the task runs, as an event of this version says; false where that is no news.
    pub fn start(&mut self, task_arn: &str, version: u64) -> bool {
        if self.stopped.iter().any(|stopped| stopped == task_arn) {
            return false;
        }
        match self.running.get_mut(task_arn) {
            Some(known) if *known >= version => false,
            Some(known) => {
                *known = version;
                true
            }
            None => {
                self.running.insert(task_arn.to_owned(), version);
                self.started += 1;
                true
            }
        }
    }

    /// Takes in that the task has stopped; false where that is no news. `ended` is when its container ended by itself, if
    /// it has.
    pub fn stop(&mut self, task_arn: &str, ended: Option<Timestamp>) -> bool {
        if self.stopped.iter().any(|stopped| stopped == task_arn) {
            return false;
        }
        if self.running.remove(task_arn).is_none() && ended.is_some() {
            self.started += 1;
        }
        self.stopped.push(task_arn.to_owned());
        let forgotten = self.stopped.len().saturating_sub(STOPPED_LIMIT);
        self.stopped.drain(..forgotten);
        self.ends.extend(ended);
        self.ends.sort_unstable();
        let forgotten = self.ends.len().saturating_sub(ENDS_LIMIT);
        self.ends.drain(..forgotten);
        true
    }

    /// Takes in that none of them runs any more; false where none has.
    pub fn stop_all(&mut self) -> bool {
        let running: Vec<String> = self.running.keys().cloned().collect();
        for task_arn in &running {
            self.stop(task_arn, None);
        }
        !running.is_empty()
    }

    /// Whether the service cannot stay up: too many of its containers have ended by themselves too soon after one another.
    pub fn cannot_stay_up(&self) -> bool {
        let [first, .., last] = self.ends.as_slice() else { return false };
        self.ends.len() >= ENDS_LIMIT && last.duration_since(*first) <= ENDS_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(private: &str, public: Option<&str>) -> Address {
        Address {
            task_arn: "arn".into(),
            private_ip: Some(private.into()),
            public_ip: public.map(str::to_owned),
        }
    }

    #[test]
    fn a_url_leads_to_the_load_balancer_or_to_a_container_at_the_first_tcp_port() {
        let port = |port, protocol| Port { port, protocol };
        let mut entrance = Entrance {
            ports: vec![port(53, Protocol::Udp), port(8080, Protocol::Tcp)],
            host: None,
            tls: false,
        };
        let addresses = [address("10.0.0.1", Some("192.0.2.1"))];
        assert_eq!(entrance.url(&[]), None);
        assert_eq!(entrance.url(&addresses).as_deref(), Some("http://192.0.2.1:8080"));
        assert_eq!(entrance.url(&[address("10.0.0.1", None)]).as_deref(), Some("http://10.0.0.1:8080"));
        entrance.host = Some("lb.example".into());
        entrance.tls = true;
        entrance.ports[1].port = 443;
        assert_eq!(entrance.url(&addresses).as_deref(), Some("https://lb.example"));
        entrance.ports.pop();
        assert_eq!(entrance.url(&addresses), None);
    }

    #[test]
    fn an_event_that_comes_twice_late_or_in_the_wrong_order_is_no_news() {
        let mut containers = Containers::default();
        assert!(containers.start("a", 3));
        assert!(!containers.start("a", 3) && !containers.start("a", 2));
        assert!(containers.start("a", 4));
        assert!(containers.stop("a", None) && !containers.stop("a", None));
        assert!(!containers.start("a", 5));
        assert_eq!((containers.started, containers.running.len()), (1, 0));
    }

    #[test]
    fn the_containers_of_a_launch_that_is_over_run_no_more_whatever_comes_late() {
        let mut containers = Containers::default();
        assert!(!containers.stop_all());
        containers.start("a", 1);
        containers.start("b", 1);
        assert!(containers.stop_all() && !containers.stop_all());
        assert!(!containers.start("a", 2));
        assert!(containers.start("c", 1));
        assert_eq!(
            (containers.running.len(), containers.started, containers.cannot_stay_up()),
            (1, 3, false)
        );
    }

    #[test]
    fn three_ends_within_five_minutes_are_too_many_and_losses_are_none() {
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let after = |ends: &[i64]| {
            let mut containers = Containers::default();
            for (n, end) in ends.iter().enumerate() {
                containers.start(&n.to_string(), 1);
                containers.stop(&n.to_string(), Some(at(*end)));
            }
            containers.cannot_stay_up()
        };
        assert!(!after(&[0, 1]) && after(&[0, 1, 5]) && !after(&[0, 3, 6]));
        assert!(after(&[0, 10, 11, 12]) && after(&[12, 10, 11]));
        let mut lost = Containers::default();
        for n in 0..500 {
            lost.start(&n.to_string(), 1);
            lost.stop(&n.to_string(), None);
        }
        assert_eq!((lost.cannot_stay_up(), lost.started, lost.stopped.len()), (false, 500, STOPPED_LIMIT));
    }
}
