//! Load balancers: created, given attributes, described and deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use local_ec2::LoadBalancerInterface;
use serde::Serialize;
use tokio::time::Instant;

use crate::call::Call;
use crate::error::ApiError;
use crate::form::Form;
use crate::pages::Page;
use crate::quotas::room;
use crate::tags::Tags;
use crate::targets::Target;
use crate::xml::{self, Members};
use crate::{Elb, State};

pub const INTERNET_FACING: &str = "internet-facing";
const INTERNAL: &str = "internal";
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";

/// How long a new load balancer is `provisioning`. A guess: people report 4 to 5 minutes until the first healthy target
/// (kubernetes-sigs/aws-load-balancer-controller#1786), and the checks of the target are a part of that.
const PROVISIONING: Duration = Duration::from_mins(3);

/// "Each subnet must have at least 8 available IP addresses" (Network Load Balancers guide, "Create a Network Load
/// Balancer").
const FREE_ADDRESSES: usize = 8;

/// The names that one DescribeLoadBalancers takes, as many as ARNs (API reference).
const MOST_NAMES: usize = 20;

/// A network load balancer.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    arn: String,
    name: String,
    /// `net/NAME/ID`.
    path: String,
    created: String,
    settings: Settings,
    pub vpc_id: String,
    pub nodes: Vec<Node>,
    pub is_active: bool,
    /// Off by default (API reference, `LoadBalancerAttribute`).
    pub is_cross_zone: bool,
    pub tags: Tags,
    seen_from: Instant,
}

/// What a second call has to have in common with the first. The tags are not among it, so that a call gets what somebody
/// else's call has made, and has to look whose it is: a guess, and of the two answers the one that asks more of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    scheme: &'static str,
    subnets: BTreeSet<String>,
    /// Those that it was made with: "If you do not associate a security group when you create a Network Load Balancer, you
    /// can't associate one later" (Network Load Balancers guide, "Update the security groups").
    groups: BTreeSet<String>,
}

/// What a load balancer has in one zone.
#[derive(Clone, Debug)]
pub struct Node {
    subnet_id: String,
    pub zone: String,
    pub interface: LoadBalancerInterface,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoadBalancersResult {
    load_balancers: Members<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    load_balancer_arn: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    canonical_hosted_zone_id: &'static str,
    created_time: String,
    load_balancer_name: String,
    scheme: &'static str,
    vpc_id: String,
    state: StateCode,
    r#type: &'static str,
    availability_zones: Members<Zone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_groups: Option<Members<String>>,
    ip_address_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateCode {
    code: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Zone {
    zone_name: String,
    subnet_id: String,
    load_balancer_addresses: Members<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributesResult {
    pub attributes: Members<Attribute>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    key: String,
    value: String,
}

impl Elb {
    /// API reference: CreateLoadBalancer.
    pub(crate) async fn create_load_balancer(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let name = call.form.require("Name")?;
        check_name(&name)?;
        if name.starts_with("internal-") {
            return Err(ApiError::validation("The load balancer name cannot begin with 'internal-'"));
        }
        if call.form.take_one_of("Type", &["application", "network"])? != "network" {
            return Err(ApiError::unsupported("load balancers that are not of the type network"));
        }
        let scheme = call.form.take_one_of("Scheme", &[INTERNET_FACING, INTERNAL])?;
        if call.form.take_one_of("IpAddressType", &["ipv4", "dualstack"])? != "ipv4" {
            return Err(ApiError::unsupported("the address type dualstack"));
        }
        let (subnets, groups) = (call.form.take_list("Subnets"), call.form.take_list("SecurityGroups"));
        let tags = Tags::take(&mut call.form)?;
        let path = format!("net/{name}/{}", self.new_id());
        let arn = self.arn(&format!("loadbalancer/{path}"));
        call.create(&arn, &tags).await?;
        // A second call with the name waits for what becomes of the first.
        let _one_by_one = self.making.lock().await;
        let settings = Settings {
            scheme,
            subnets: subnets.iter().cloned().collect(),
            groups: groups.iter().cloned().collect(),
        };
        if let Some(existing) = self.state().load_balancers.values().find(|existing| existing.name == name) {
            if existing.settings != settings {
                let message = format!(
                    "A load balancer with the same name '{name}' exists, but with different settings"
                );
                return Err(ApiError::new("DuplicateLoadBalancerName", message));
            }
            return answer(&call, [existing.describe()]);
        }
        let (used, quota) = (self.state().load_balancers.len(), self.quotas.load_balancers);
        room(used, quota, "TooManyLoadBalancers", "network load balancers")?;
        let (vpc_id, zones) = self.check_subnets(&subnets, scheme == INTERNET_FACING).await?;
        let nodes = self.make_nodes(&path, zones, &groups, scheme == INTERNET_FACING).await?;
        let clock = self.upstream.clock;
        let load_balancer = LoadBalancer {
            arn: arn.clone(),
            name,
            path,
            created: clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            settings,
            vpc_id,
            nodes,
            is_active: false,
            is_cross_zone: false,
            seen_from: clock.instant() + clock.scale.real(self.faults.unseen(&tags)),
            tags,
        };
        let description = load_balancer.describe();
        let provisioning = self.faults.provisions(&load_balancer.tags).unwrap_or(PROVISIONING);
        self.state().load_balancers.insert(arn.clone(), load_balancer);
        let elb = self.clone();
        self.spawn(async move {
            elb.sleep(provisioning).await;
            let mut state = elb.state();
            let Some(load_balancer) = state.load_balancers.get_mut(&arn) else { return };
            load_balancer.is_active = true;
            let of_it = state.listeners.iter().filter(|(_, listener)| listener.load_balancer == arn);
            let listeners: Vec<_> = of_it.map(|(arn, _)| arn.clone()).collect();
            drop(state);
            for listener in &listeners {
                elb.open(listener);
            }
        });
        answer(&call, [description])
    }

    /// The VPC of the subnets, all of which have to be fit for a load balancer, and the zone of each.
    async fn check_subnets(
        &self,
        ids: &[String],
        internet_facing: bool,
    ) -> Result<(String, BTreeMap<String, String>), ApiError> {
        let (mut vpc, mut subnets) = (None, BTreeMap::new());
        for id in ids {
            let facts = self.ec2.subnet_facts(id).await?;
            if *vpc.get_or_insert_with(|| facts.vpc_id.clone()) != facts.vpc_id {
                return Err(ApiError::configuration("All subnets must belong to the same VPC"));
            }
            // "You can specify only one subnet per Availability Zone" (API reference).
            if subnets.insert(facts.availability_zone, id.clone()).is_some() {
                return Err(ApiError::configuration(format!(
                    "A load balancer cannot be attached to multiple subnets in the same Availability Zone ({id})"
                )));
            }
            if facts.free_addresses < FREE_ADDRESSES {
                return Err(ApiError::new(
                    "InvalidSubnet",
                    format!(
                        "Not enough IP space available in {id}. ELB requires at least {FREE_ADDRESSES} free IP \
                         addresses in each subnet."
                    ),
                ));
            }
            if internet_facing && !facts.has_internet_gateway {
                let message = format!("VPC {} has no internet gateway", facts.vpc_id);
                return Err(ApiError::new("InvalidSubnet", message));
            }
        }
        let vpc = vpc.ok_or_else(|| ApiError::validation("You must specify subnets or subnet mappings"))?;
        Ok((vpc, subnets))
    }

    /// The interfaces are made at once, and not while it provisions as on AWS: their public address is what the load
    /// balancer is called here.
    async fn make_nodes(
        &self,
        path: &str,
        subnets: BTreeMap<String, String>,
        groups: &[String],
        internet_facing: bool,
    ) -> Result<Vec<Node>, ApiError> {
        let mut nodes = Vec::new();
        for (zone, subnet_id) in subnets {
            let made =
                self.ec2.create_load_balancer_interface(path, &subnet_id, groups, internet_facing).await;
            match made {
                Ok(interface) => nodes.push(Node { subnet_id, zone, interface }),
                Err(error) => {
                    // Nobody waits for that.
                    let (elb, path) = (self.clone(), path.to_owned());
                    self.spawn(async move { elb.ec2.delete_load_balancer_interfaces(&path).await });
                    return Err(error.into());
                }
            }
        }
        Ok(nodes)
    }

    /// API reference: ModifyLoadBalancerAttributes.
    pub(crate) async fn modify_load_balancer_attributes(
        &self,
        mut call: Call<'_>,
    ) -> Result<String, ApiError> {
        let arn = call.form.require("LoadBalancerArn")?;
        let attributes = take_attributes(&mut call.form)?;
        let now = self.upstream.clock.instant();
        let tags = self.state().load_balancer(&arn, now)?.tags.clone();
        call.change(&arn, &tags).await?;
        let mut cross_zone = None;
        for (key, value) in &attributes {
            if key != CROSS_ZONE {
                let message = format!("Load balancer attribute key '{key}' is not recognized");
                return Err(ApiError::validation(message));
            }
            let wrong = |_| ApiError::validation(format!("Value '{value}' of '{key}' must be true or false"));
            cross_zone = Some(value.parse().map_err(wrong)?);
        }
        if let Some(load_balancer) = self.state().load_balancers.get_mut(&arn) {
            load_balancer.is_cross_zone = cross_zone.unwrap_or(load_balancer.is_cross_zone);
        }
        xml::document(call.action, &AttributesResult::new(attributes), call.request_id)
    }

    /// API reference: DescribeLoadBalancers. There is no filter by tag.
    pub(crate) async fn describe_load_balancers(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let (arns, names) = (call.form.take_list("LoadBalancerArns"), call.form.take_list("Names"));
        let page = Page::take(&mut call.form)?;
        call.describe().await?;
        if arns.len() > MOST_NAMES || names.len() > MOST_NAMES {
            let message = format!("Up to {MOST_NAMES} load balancers can be described in a single call");
            return Err(ApiError::validation(message));
        }
        let now = self.upstream.clock.instant();
        let state = self.state();
        let seen = || state.load_balancers.values().filter(|found| found.seen_from <= now);
        let missing = arns.iter().any(|arn| seen().all(|found| found.arn != *arn))
            || names.iter().any(|name| seen().all(|found| found.name != *name));
        if missing {
            return Err(ApiError::load_balancer_not_found());
        }
        let all = arns.is_empty() && names.is_empty();
        let asked = seen().filter(|found| all || arns.contains(&found.arn) || names.contains(&found.name));
        let (page, next_marker) = page.of(asked.map(|found| (found.arn.clone(), found.describe())));
        let result = LoadBalancersResult { load_balancers: page.into_iter().collect(), next_marker };
        xml::document(call.action, &result, call.request_id)
    }

    /// API reference: DeleteLoadBalancer. "Deleting a load balancer also deletes its listeners. If the load balancer does not
    /// exist or has already been deleted, the call succeeds."
    pub(crate) async fn delete_load_balancer(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let arn = call.form.require("LoadBalancerArn")?;
        let tags = self.state().load_balancers.get(&arn).map(|found| found.tags.clone());
        call.change(&arn, &tags.unwrap_or_default()).await?;
        let Some(load_balancer) = self.state().remove_load_balancer(&arn) else { return call.done() };
        let longer = self.faults.interfaces_linger(&load_balancer.tags);
        let elb = self.clone();
        self.spawn(async move {
            elb.sleep(longer).await;
            elb.ec2.delete_load_balancer_interfaces(&load_balancer.path).await;
            elb.state().going.remove(&load_balancer.arn);
        });
        call.done()
    }
}

impl State {
    /// The load balancer that a call names.
    pub fn load_balancer(&self, arn: &str, now: Instant) -> Result<&LoadBalancer, ApiError> {
        let found = self.load_balancers.get(arn).filter(|found| found.seen_from <= now);
        found.ok_or_else(ApiError::load_balancer_not_found)
    }

    /// Takes it away with its listeners; its target groups are in use until its interfaces are gone.
    fn remove_load_balancer(&mut self, arn: &str) -> Option<LoadBalancer> {
        let removed = self.load_balancers.remove(arn)?;
        let listeners = self.listeners.extract_if(.., |_, listener| listener.load_balancer == arn);
        let closed = listeners.map(|(_, listener)| {
            listener.closed.cancel();
            listener.target_group
        });
        let groups = closed.collect();
        self.going.insert(arn.to_owned(), groups);
        Some(removed)
    }
}

impl LoadBalancer {
    pub fn groups(&self) -> Vec<String> {
        self.settings.groups.iter().cloned().collect()
    }

    /// The node that looks at the target: that of its zone. A zone in which the load balancer is not has none, whether
    /// cross-zone load balancing is on or not (API reference, `TargetHealth`, `Target.NotInUse`).
    pub fn node_for(&self, target: &Target) -> Option<&Node> {
        self.nodes.iter().find(|node| node.zone == target.zone)
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    fn describe(&self) -> Description {
        let zone = |node: &Node| Zone {
            zone_name: node.zone.clone(),
            subnet_id: node.subnet_id.clone(),
            load_balancer_addresses: Members::from_iter([]),
        };
        let groups = self.groups();
        Description {
            load_balancer_arn: self.arn.clone(),
            dns_name: self.dns_name(),
            // Any of those of the General reference, "Elastic Load Balancing endpoints and quotas".
            canonical_hosted_zone_id: "Z3F0SRJ5LGBH90",
            created_time: self.created.clone(),
            load_balancer_name: self.name.clone(),
            scheme: self.settings.scheme,
            vpc_id: self.vpc_id.clone(),
            state: StateCode { code: if self.is_active { "active" } else { "provisioning" } },
            r#type: "network",
            availability_zones: self.nodes.iter().map(zone).collect(),
            security_groups: (!groups.is_empty()).then(|| groups.into_iter().collect()),
            ip_address_type: "ipv4",
        }
    }

    /// On AWS `NAME-ID.elb.REGION.amazonaws.com`, which no resolver of a laptop would lead here: where callers can reach it,
    /// it is its first address instead. What is internal nobody outside of the VPC can call, and has a name as on AWS.
    fn dns_name(&self) -> String {
        let public = self.nodes.iter().find_map(Node::public_ip);
        let as_on_aws = || {
            let id = self.path.rsplit('/').next().unwrap_or_default();
            let region = self.arn.split(':').nth(3).unwrap_or_default();
            format!("{}-{id}.elb.{region}.amazonaws.com", self.name)
        };
        public.map_or_else(as_on_aws, |address| address.to_string())
    }
}

impl Node {
    pub fn public_ip(&self) -> Option<IpAddr> {
        self.interface.public_ip.as_ref()?.parse().ok()
    }

    pub fn private_ip(&self) -> Option<IpAddr> {
        self.interface.private_ip.parse().ok()
    }
}

impl AttributesResult {
    pub fn new(attributes: BTreeMap<String, String>) -> Self {
        Self { attributes: attributes.into_iter().map(|(key, value)| Attribute { key, value }).collect() }
    }
}

/// The attributes that a call changes.
pub fn take_attributes(form: &mut Form) -> Result<BTreeMap<String, String>, ApiError> {
    let mut attributes = BTreeMap::new();
    for mut attribute in form.take_structures("Attributes") {
        attributes.insert(attribute.require("Key")?, attribute.require("Value")?);
        attribute.finish()?;
    }
    Ok(attributes)
}

/// "can have a maximum of 32 characters, must contain only alphanumeric characters or hyphens, must not begin or end with
/// a hyphen" (API reference, CreateLoadBalancer and CreateTargetGroup, `Name`).
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let is_right = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.len() <= 32 && name.chars().all(is_right) && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "The name '{name}' must have at most 32 characters, only letters, digits and hyphens, and no hyphen at either end"
    )))
}

fn answer(call: &Call<'_>, found: [Description; 1]) -> Result<String, ApiError> {
    let result = LoadBalancersResult { load_balancers: found.into_iter().collect(), next_marker: None };
    xml::document(call.action, &result, call.request_id)
}
