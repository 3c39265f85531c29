//! How the targets of a group are checked.

use crate::error::ApiError;
use crate::form::Form;

/// The port of a health check where none is given: that of the target.
pub const TRAFFIC_PORT: &str = "traffic-port";

/// How targets are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub protocol: &'static str,
    /// None for the port that the target is registered with.
    pub port: Option<u16>,
    /// Of HTTP.
    pub path: Option<String>,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy: u32,
    pub unhealthy: u32,
}

/// The statuses that are a success where no `Matcher` is given (Network Load Balancers guide, "Health checks").
pub const HEALTHY_STATUSES: std::ops::RangeInclusive<u16> = 200..=399;

impl HealthCheck {
    /// The defaults and ranges are those of API reference, CreateTargetGroup.
    pub fn take(form: &mut Form) -> Result<Self, ApiError> {
        // "The GENEVE, TLS, UDP, TCP_UDP, QUIC, and TCP_QUIC protocols are not supported for health checks."
        let protocol = form.take_one_of("HealthCheckProtocol", &["TCP", "HTTP"])?;
        let port = match form.take("HealthCheckPort").as_deref() {
            None | Some(TRAFFIC_PORT) => None,
            Some(port) => {
                let port = port.parse().ok().filter(|port| *port > 0);
                let wrong = || ApiError::validation("Health check port must be 'traffic-port' or a port");
                Some(port.ok_or_else(wrong)?)
            }
        };
        let path = form.take("HealthCheckPath");
        let path = match (protocol, path) {
            ("HTTP", path) => Some(path.unwrap_or("/".into())),
            (_, None) => None,
            _ => {
                let message = "You cannot specify a health check path with the protocol TCP";
                return Err(ApiError::configuration(message));
            }
        };
        if path.as_ref().is_some_and(|path| !path.starts_with('/') || path.len() > 1024) {
            return Err(ApiError::validation(
                "The health check path must begin with a '/' and have at most 1024 characters",
            ));
        }
        let default_timeout = if protocol == "HTTP" { 6 } else { 10 };
        let check = Self {
            protocol,
            port,
            path,
            interval_seconds: form.take_number("HealthCheckIntervalSeconds", 5..=300)?.unwrap_or(30),
            timeout_seconds: form
                .take_number("HealthCheckTimeoutSeconds", 2..=120)?
                .unwrap_or(default_timeout),
            healthy: form.take_number("HealthyThresholdCount", 2..=10)?.unwrap_or(5),
            unhealthy: form.take_number("UnhealthyThresholdCount", 2..=10)?.unwrap_or(2),
        };
        // Equal is allowed: for long an interval of 10 s and a time-out of 10 s were what TCP had.
        if check.timeout_seconds > check.interval_seconds {
            let message = "Health check timeout must be smaller than or equal to the interval";
            return Err(ApiError::validation(message));
        }
        Ok(check)
    }
}
