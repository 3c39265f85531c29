//! Listeners: created, and deleted with their load balancer.

use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::error::ApiError;
use crate::form::Form;
use crate::quotas::room;
use crate::tags::Tags;
use crate::xml::{self, Members};
use crate::{Elb, State};

/// Some of the security policies that there are, the one first that the API takes where none is named, and what they allow of
/// the versions of TLS that are spoken here: 1.0 and 1.1, of the first, are not (Network Load Balancers guide, "Security
/// policies").
const SSL_POLICIES: [(&str, &[&SupportedProtocolVersion]); 5] = [
    ("ELBSecurityPolicy-2016-08", &[&TLS12]),
    ("ELBSecurityPolicy-TLS13-1-2-2021-06", &[&TLS12, &TLS13]),
    ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", &[&TLS12, &TLS13]),
    ("ELBSecurityPolicy-TLS13-1-3-2021-06", &[&TLS13]),
    ("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", &[&TLS12, &TLS13]),
];

/// The protocols of target groups that a listener can send to (Network Load Balancers guide, "Target groups", "Routing
/// configuration").
const COMPATIBLE: [(&str, &[&str]); 4] = [
    ("TCP", &["TCP", "TCP_UDP"]),
    ("TLS", &["TCP", "TLS"]),
    ("UDP", &["UDP", "TCP_UDP"]),
    ("TCP_UDP", &["TCP_UDP"]),
];

/// A port of a load balancer.
#[derive(Clone, Debug)]
pub struct Listener {
    arn: String,
    /// Its ARN.
    pub load_balancer: String,
    settings: Settings,
    /// Its ARN.
    pub target_group: String,
    /// What TLS is spoken by, where it is.
    pub server: Option<Arc<ServerConfig>>,
    pub tags: Tags,
    seen_from: Instant,
    /// Ends what listens for it.
    pub closed: CancellationToken,
}

/// What a second call has to have in common with the first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    port: u16,
    protocol: &'static str,
    tls: Option<Tls>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tls {
    /// Its ARN.
    certificate: String,
    policy: &'static str,
    versions: &'static [&'static SupportedProtocolVersion],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListenersResult {
    listeners: Members<Description>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    listener_arn: String,
    load_balancer_arn: String,
    port: u16,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<Members<Certificate>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssl_policy: Option<&'static str>,
    default_actions: Members<Action>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Certificate {
    certificate_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Action {
    r#type: &'static str,
    target_group_arn: String,
}

impl Elb {
    /// API reference: CreateListener.
    pub(crate) async fn create_listener(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let load_balancer = call.form.require("LoadBalancerArn")?;
        let settings = Settings::take(&mut call.form)?;
        let target_group = take_action(&mut call.form)?;
        let tags = Tags::take(&mut call.form)?;
        let clock = self.upstream.clock;
        let (path, of_whole) = {
            let state = self.state();
            let found = state.load_balancer(&load_balancer, clock.instant())?;
            (found.path().to_owned(), found.tags.clone())
        };
        let arn = self.arn(&format!("listener/{path}/{}", self.new_id()));
        call.create_part(&arn, &tags, &load_balancer, &of_whole).await?;
        let server = match &settings.tls {
            Some(tls) => Some(self.server(&tls.certificate, tls.versions).await?),
            None => None,
        };
        let description = {
            let mut state = self.state();
            state.fits(&settings, &load_balancer, &target_group, clock.instant())?;
            let mut beside = state.listeners.values().filter(|other| other.load_balancer == load_balancer);
            if let Some(other) = beside.clone().find(|other| other.settings.port == settings.port) {
                if other.settings != settings || other.target_group != target_group {
                    let message = "A listener already exists on this port for this load balancer";
                    return Err(ApiError::new("DuplicateListener", message));
                }
                return answer(&call, other.describe());
            }
            room(beside.by_ref().count(), self.quotas.listeners, "TooManyListeners", "listeners")?;
            let listener = Listener {
                arn: arn.clone(),
                load_balancer,
                settings,
                target_group,
                server,
                seen_from: clock.instant() + clock.scale.real(self.faults.unseen(&tags)),
                tags,
                closed: self.stop.child_token(),
            };
            let description = listener.describe();
            state.listeners.insert(arn.clone(), listener);
            description
        };
        self.open(&arn);
        answer(&call, description)
    }

    /// Whether a listener refers to the target group: until then CreateService answers that the group "does not have an
    /// associated load balancer".
    pub fn has_load_balancer(&self, target_group_arn: &str) -> bool {
        self.state().load_balancer_of(target_group_arn).is_some()
    }
}

impl State {
    /// The listener that a call names.
    pub fn listener(&self, arn: &str, now: Instant) -> Result<&Listener, ApiError> {
        let found = self.listeners.get(arn).filter(|found| found.seen_from <= now);
        found.ok_or_else(ApiError::listener_not_found)
    }

    /// The ARN of the load balancer that sends callers to the target group.
    pub fn load_balancer_of(&self, target_group: &str) -> Option<&str> {
        let listener = self.listeners.values().find(|listener| listener.target_group == target_group);
        listener.map(|listener| listener.load_balancer.as_str())
    }

    /// Whether the load balancer can send to the target group.
    fn fits(
        &self,
        settings: &Settings,
        load_balancer: &str,
        target_group: &str,
        now: Instant,
    ) -> Result<(), ApiError> {
        let group = self.target_group(target_group, now)?;
        if group.settings.vpc_id != self.load_balancer(load_balancer, now)?.vpc_id {
            return Err(ApiError::configuration(format!(
                "The following target groups are in a different VPC than load balancer '{load_balancer}': {target_group}"
            )));
        }
        let compatible = COMPATIBLE.iter().find(|(listener, _)| *listener == settings.protocol);
        if !compatible.is_some_and(|(_, groups)| groups.contains(&group.settings.protocol)) {
            return Err(ApiError::new(
                "IncompatibleProtocols",
                format!(
                    "The listener protocol '{}' is not supported with a target group with the protocol '{}'",
                    settings.protocol, group.settings.protocol
                ),
            ));
        }
        if group.settings.protocol == "TLS" {
            return Err(ApiError::unsupported("targets that are spoken to over TLS"));
        }
        // "You can use each target group with only one load balancer" (API reference, `TargetGroup`).
        if self.load_balancer_of(target_group).is_some_and(|other| other != load_balancer) {
            let message =
                "The following target groups cannot be associated with more than one load balancer:";
            return Err(ApiError::new("TargetGroupAssociationLimit", format!("{message} {target_group}")));
        }
        Ok(())
    }
}

impl Listener {
    pub fn port(&self) -> u16 {
        self.settings.port
    }

    pub fn protocol(&self) -> &'static str {
        self.settings.protocol
    }

    fn describe(&self) -> Description {
        let tls = self.settings.tls.as_ref();
        let certificate = |tls: &Tls| Certificate { certificate_arn: tls.certificate.clone() };
        let action = Action { r#type: "forward", target_group_arn: self.target_group.clone() };
        Description {
            listener_arn: self.arn.clone(),
            load_balancer_arn: self.load_balancer.clone(),
            port: self.settings.port,
            protocol: self.settings.protocol,
            certificates: tls.map(|tls| [certificate(tls)].into_iter().collect()),
            ssl_policy: tls.map(|tls| tls.policy),
            default_actions: [action].into_iter().collect(),
        }
    }
}

impl Settings {
    fn take(form: &mut Form) -> Result<Self, ApiError> {
        let protocol = form.take_one_of("Protocol", &["", "TCP", "UDP", "TCP_UDP", "TLS"])?;
        let Some(port) = form.take_number("Port", 1..=u16::MAX)?.filter(|_| !protocol.is_empty()) else {
            return Err(ApiError::validation("A protocol and a port must be specified"));
        };
        let mut certificates = Vec::new();
        for mut certificate in form.take_structures("Certificates") {
            certificates.push(certificate.require("CertificateArn")?);
            certificate.finish()?;
        }
        let policy = form.take("SslPolicy");
        let tls = match (protocol, certificates.as_slice(), policy.as_deref()) {
            ("TLS", [certificate], policy) => Some(Tls::take(certificate, policy)?),
            // "You must provide exactly one certificate" (API reference).
            ("TLS", [], _) => {
                return Err(ApiError::validation("A certificate must be specified for TLS listeners"));
            }
            ("TLS", _, _) => return Err(ApiError::validation("Only one certificate can be specified")),
            (_, [], None) => None,
            _ => {
                return Err(ApiError::configuration(format!(
                    "A certificate or an SSL policy cannot be specified for {protocol} listeners"
                )));
            }
        };
        Ok(Self { port, protocol, tls })
    }
}

impl Tls {
    fn take(certificate: &str, policy: Option<&str>) -> Result<Self, ApiError> {
        let policy = policy.unwrap_or(SSL_POLICIES[0].0);
        let known = SSL_POLICIES.into_iter().find(|(name, _)| *name == policy);
        let (policy, versions) = known
            .ok_or_else(|| ApiError::new("SSLPolicyNotFound", format!("SSL policy '{policy}' not found")))?;
        Ok(Self { certificate: certificate.to_owned(), policy, versions })
    }
}

/// The target group that the one action forwards to.
fn take_action(form: &mut Form) -> Result<String, ApiError> {
    let mut actions = form.take_structures("DefaultActions");
    let Some(mut action) = actions.pop().filter(|_| actions.is_empty()) else {
        return Err(ApiError::validation("A listener of a network load balancer has one default action"));
    };
    if action.take_one_of("Type", &["", "forward"])? != "forward" {
        return Err(ApiError::unsupported("actions that do not forward"));
    }
    let target_group = action.require("TargetGroupArn")?;
    action.finish()?;
    Ok(target_group)
}

fn answer(call: &Call<'_>, listener: Description) -> Result<String, ApiError> {
    let result = ListenersResult { listeners: [listener].into_iter().collect() };
    xml::document(call.action, &result, call.request_id)
}
