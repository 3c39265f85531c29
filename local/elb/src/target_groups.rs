//! Target groups: created, given attributes, described and deleted.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::call::Call;
use crate::check::{HEALTHY_STATUSES, HealthCheck, TRAFFIC_PORT};
use crate::error::ApiError;
use crate::form::Form;
use crate::load_balancers::{AttributesResult, check_name, take_attributes};
use crate::pages::Page;
use crate::quotas::room;
use crate::tags::Tags;
use crate::targets::Target;
use crate::xml::{self, Members};
use crate::{Elb, State};

const DEREGISTRATION_DELAY: &str = "deregistration_delay.timeout_seconds";
/// "The range is 0-3600 seconds. The default value is 300 seconds" (API reference, `TargetGroupAttribute`).
const LONGEST_DELAY: u32 = 3600;

/// What a listener sends its callers to.
#[derive(Clone, Debug)]
pub struct TargetGroup {
    arn: String,
    name: String,
    pub settings: Settings,
    pub deregistration_delay: Duration,
    pub tags: Tags,
    pub targets: Vec<Target>,
    seen_from: Instant,
}

/// What a second call has to have in common with the first. The tags are not among it, as with load balancers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub protocol: &'static str,
    pub port: u16,
    pub vpc_id: String,
    pub check: HealthCheck,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TargetGroupsResult {
    target_groups: Members<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    target_group_arn: String,
    target_group_name: String,
    protocol: &'static str,
    port: u16,
    vpc_id: String,
    health_check_protocol: &'static str,
    health_check_port: String,
    health_check_enabled: bool,
    health_check_interval_seconds: u32,
    health_check_timeout_seconds: u32,
    healthy_threshold_count: u32,
    unhealthy_threshold_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matcher: Option<Matcher>,
    load_balancer_arns: Members<String>,
    target_type: &'static str,
    ip_address_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Matcher {
    http_code: String,
}

impl Elb {
    /// API reference: CreateTargetGroup.
    pub(crate) async fn create_target_group(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let name = call.form.require("Name")?;
        check_name(&name)?;
        if call.form.take_one_of("TargetType", &["instance", "ip"])? != "ip" {
            return Err(ApiError::unsupported("targets that are not of the type ip"));
        }
        let settings = Settings::take(&mut call.form)?;
        let tags = Tags::take(&mut call.form)?;
        let arn = self.arn(&format!("targetgroup/{name}/{}", self.new_id()));
        call.create(&arn, &tags).await?;
        if !self.ec2.has_vpc(&settings.vpc_id).await? {
            return Err(ApiError::validation(format!("The VPC ID '{}' is not found", settings.vpc_id)));
        }
        let clock = self.upstream.clock;
        let mut state = self.state();
        if let Some(existing) = state.target_groups.values().find(|existing| existing.name == name) {
            if existing.settings != settings {
                let message =
                    format!("A target group with the same name '{name}' exists, but with different settings");
                return Err(ApiError::new("DuplicateTargetGroupName", message));
            }
            return answer(&call, [state.describe(existing)]);
        }
        let (used, quota) = (state.target_groups.len(), self.quotas.target_groups);
        room(used, quota, "TooManyTargetGroups", "target groups")?;
        let group = TargetGroup {
            arn: arn.clone(),
            name,
            settings,
            deregistration_delay: Duration::from_mins(5),
            seen_from: clock.instant() + clock.scale.real(self.faults.unseen(&tags)),
            tags,
            targets: Vec::new(),
        };
        let description = state.describe(&group);
        state.target_groups.insert(arn, group);
        answer(&call, [description])
    }

    /// API reference: ModifyTargetGroupAttributes.
    pub(crate) async fn modify_target_group_attributes(
        &self,
        mut call: Call<'_>,
    ) -> Result<String, ApiError> {
        let arn = call.form.require("TargetGroupArn")?;
        let attributes = take_attributes(&mut call.form)?;
        let now = self.upstream.clock.instant();
        let tags = self.state().target_group(&arn, now)?.tags.clone();
        call.change(&arn, &tags).await?;
        let mut delay = None;
        for (key, value) in &attributes {
            if key != DEREGISTRATION_DELAY {
                let message = format!("Target group attribute key '{key}' is not recognized");
                return Err(ApiError::validation(message));
            }
            let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds <= LONGEST_DELAY);
            let wrong = || ApiError::validation(format!("'{key}' must be between 0 and {LONGEST_DELAY}"));
            delay = Some(Duration::from_secs(seconds.ok_or_else(wrong)?.into()));
        }
        if let Some(group) = self.state().target_groups.get_mut(&arn) {
            group.deregistration_delay = delay.unwrap_or(group.deregistration_delay);
        }
        xml::document(call.action, &AttributesResult::new(attributes), call.request_id)
    }

    /// API reference: DescribeTargetGroups: by ARNs or by names, "one of the following". There is no filter by tag.
    pub(crate) async fn describe_target_groups(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let (arns, names) = (call.form.take_list("TargetGroupArns"), call.form.take_list("Names"));
        let page = Page::take(&mut call.form)?;
        call.describe().await?;
        if !arns.is_empty() && !names.is_empty() {
            let message = "Target group names and target group ARNs cannot be specified at the same time";
            return Err(ApiError::validation(message));
        }
        let now = self.upstream.clock.instant();
        let state = self.state();
        let seen = || state.target_groups.values().filter(|found| found.seen_from <= now);
        let missing = arns.iter().any(|arn| seen().all(|found| found.arn != *arn))
            || names.iter().any(|name| seen().all(|found| found.name != *name));
        if missing {
            return Err(ApiError::target_group_not_found());
        }
        let all = arns.is_empty() && names.is_empty();
        let asked = seen().filter(|found| all || arns.contains(&found.arn) || names.contains(&found.name));
        let (page, next_marker) = page.of(asked.map(|found| (found.arn.clone(), state.describe(found))));
        let result = TargetGroupsResult { target_groups: page.into_iter().collect(), next_marker };
        xml::document(call.action, &result, call.request_id)
    }

    /// API reference: DeleteTargetGroup. One that is not there any more is no error: a guess, after what the page of
    /// DeleteLoadBalancer says and since this one lists no such error.
    pub(crate) async fn delete_target_group(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let arn = call.form.require("TargetGroupArn")?;
        let tags = self.state().target_groups.get(&arn).map(|found| found.tags.clone());
        call.change(&arn, &tags.unwrap_or_default()).await?;
        let mut state = self.state();
        // "You can delete a target group if it is not referenced by any actions." That those of a deleted load balancer count
        // until its interfaces are gone is a guess.
        let is_going = state.going.values().flatten().any(|group| *group == arn);
        if is_going || state.listeners.values().any(|listener| listener.target_group == arn) {
            let message = format!("Target group '{arn}' is currently in use by a listener or a rule");
            return Err(ApiError::new("ResourceInUse", message));
        }
        state.target_groups.remove(&arn);
        call.done()
    }
}

impl State {
    /// The target group that a call names.
    pub fn target_group(&self, arn: &str, now: Instant) -> Result<&TargetGroup, ApiError> {
        let found = self.target_groups.get(arn).filter(|found| found.seen_from <= now);
        found.ok_or_else(ApiError::target_group_not_found)
    }

    fn describe(&self, group: &TargetGroup) -> Description {
        let TargetGroup { arn, name, settings: Settings { protocol, port, vpc_id, check }, .. } = group;
        let matcher = || {
            let (first, last) = (HEALTHY_STATUSES.start(), HEALTHY_STATUSES.end());
            Matcher { http_code: format!("{first}-{last}") }
        };
        Description {
            target_group_arn: arn.clone(),
            target_group_name: name.clone(),
            protocol,
            port: *port,
            vpc_id: vpc_id.clone(),
            health_check_protocol: check.protocol,
            health_check_port: check.port.map_or(TRAFFIC_PORT.into(), |port| port.to_string()),
            health_check_enabled: true,
            health_check_interval_seconds: check.interval_seconds,
            health_check_timeout_seconds: check.timeout_seconds,
            healthy_threshold_count: check.healthy,
            unhealthy_threshold_count: check.unhealthy,
            health_check_path: check.path.clone(),
            matcher: check.path.as_ref().map(|_| matcher()),
            load_balancer_arns: self.load_balancer_of(arn).map(str::to_owned).into_iter().collect(),
            target_type: "ip",
            ip_address_type: "ipv4",
        }
    }
}

impl TargetGroup {
    /// Those that a new caller at the node in `zone` can be sent to. Where none is healthy it is any of them: "If there are no
    /// healthy targets, the load balancer fails open" (Network Load Balancers guide, "Health checks for target groups").
    pub fn open_to(&self, zone: &str, is_cross_zone: bool) -> Vec<Target> {
        let open = self.targets.iter().filter(|target| !target.is_draining);
        let open = open.filter(|target| is_cross_zone || target.zone == zone);
        let healthy: Vec<_> = open.clone().filter(|target| target.health.is_healthy()).cloned().collect();
        if healthy.is_empty() { open.cloned().collect() } else { healthy }
    }
}

impl Settings {
    fn take(form: &mut Form) -> Result<Self, ApiError> {
        // Those of network load balancers (API reference, CreateTargetGroup).
        let protocol = form.take_one_of("Protocol", &["", "TCP", "UDP", "TCP_UDP", "TLS"])?;
        let port = form.take_number("Port", 1..=u16::MAX)?;
        let vpc_id = form.take("VpcId");
        let (Some(port), Some(vpc_id), false) = (port, vpc_id, protocol.is_empty()) else {
            return Err(ApiError::validation("A protocol, a port and a VPC must be specified"));
        };
        if form.take_one_of("IpAddressType", &["ipv4", "ipv6"])? != "ipv4" {
            return Err(ApiError::unsupported("target groups of the address type ipv6"));
        }
        Ok(Self { protocol, port, vpc_id, check: HealthCheck::take(form)? })
    }
}

fn answer(call: &Call<'_>, found: [Description; 1]) -> Result<String, ApiError> {
    let result = TargetGroupsResult { target_groups: found.into_iter().collect(), next_marker: None };
    xml::document(call.action, &result, call.request_id)
}
