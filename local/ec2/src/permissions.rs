//! What a security group lets in and out: rules added to it and taken away, and whether they let something pass.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::Ec2;
use crate::call::{Call, Target};
use crate::error::ApiError;
use crate::groups::Group;
use crate::quotas::room;
use crate::rules::{Direction, NewRule, Rule, Rules};
use crate::tags::Tags;
use crate::xml::{self, Items};

/// The type of a rule in ARNs and tag specifications.
const RULE: &str = "security-group-rule";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorized<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    request_id: &'a str,
    r#return: bool,
    security_group_rule_set: Items<NewRule>,
}

impl Ec2 {
    /// EC2 API reference: AuthorizeSecurityGroupEgress, AuthorizeSecurityGroupIngress.
    pub(crate) async fn authorize_security_group(
        &self,
        mut call: Call<'_>,
        direction: Direction,
    ) -> Result<String, ApiError> {
        let account = &self.upstream.account;
        let id = call.parameters.require("GroupId")?;
        let rules = Rule::take(&mut call.parameters, self)?;
        let tags = Tags::take(RULE, &mut call.parameters)?;
        let group: Group = self.seen_by_call(&id).await?;
        let mut targets = vec![Target::existing(&group)];
        // "Policies using the security-group-rule resource-level permission are only enforced when the API request
        // includes TagSpecifications" (Service Authorization Reference, both actions).
        if !tags.0.is_empty() {
            targets.push(Target::new_of_type(RULE, &tags, None));
        }
        call.mutate(&targets).await?;
        let mut state = self.state();
        for named in rules.iter().filter_map(Rule::group) {
            let named = state.groups.seen_by_call(named)?;
            if named.vpc_id != group.vpc_id {
                let message = "You have specified two resources that belong to different networks.";
                return Err(ApiError::new("InvalidGroup.NotFound", message));
            }
        }
        let kept = self.change::<Group>(&mut state, &id)?.rules_mut(direction);
        let mut enlarged = kept.clone();
        for rule in &rules {
            if enlarged.has(rule) {
                let message = "the specified rule already exists";
                return Err(ApiError::new("InvalidPermission.Duplicate", message));
            }
            let (used, quota) = (enlarged.beside(rule), self.quotas.rules_per_group);
            room(used, quota, "RulesPerSecurityGroupLimitExceeded", "rules per security group")?;
            enlarged.0.push(rule.clone());
        }
        *kept = enlarged;
        let new = rules.iter().map(|rule| rule.as_new(account, &id, direction, &tags));
        let (request_id, security_group_rule_set) = (call.request_id, new.collect());
        let answer =
            Authorized { xmlns: xml::NAMESPACE, request_id, r#return: true, security_group_rule_set };
        xml::response(call.action, &answer)
    }

    /// EC2 API reference: RevokeSecurityGroupEgress. In a VPC that is not the default one all rules have to be there,
    /// else none is revoked.
    pub(crate) async fn revoke_security_group_egress(&self, mut call: Call<'_>) -> Result<String, ApiError> {
        let id = call.parameters.require("GroupId")?;
        let rules = Rule::take(&mut call.parameters, self)?;
        let group: Group = self.seen_by_call(&id).await?;
        call.mutate(&[Target::existing(&group)]).await?;
        let mut state = self.state();
        let seen = state.groups.seen_by_call(&id)?.rules(Direction::Egress).clone();
        let egress = self.change::<Group>(&mut state, &id)?.rules_mut(Direction::Egress);
        if !rules.iter().all(|rule| seen.has(rule) && egress.has(rule)) {
            let message = "The specified rule does not exist in this security group.";
            return Err(ApiError::new("InvalidPermission.NotFound", message));
        }
        egress.0.retain(|mine| !rules.iter().any(|rule| mine.is(rule)));
        call.done()
    }
}

impl Group {
    /// Whether its members reach servers anywhere on this TCP port, over one version of IP.
    pub fn lets_out_to_all(&self, range: IpNet, port: u16) -> bool {
        self.rules(Direction::Egress).0.iter().any(|rule| rule.admits_all(range, "tcp", port))
    }

    /// Whether what has the other end at the address `end`, a member of `groups`, passes.
    pub fn admits(
        &self,
        direction: Direction,
        end: IpAddr,
        groups: &[String],
        protocol: &str,
        port: u16,
    ) -> bool {
        let rules: &Rules = self.rules(direction);
        rules.0.iter().any(|rule| rule.admits(end, groups, protocol, port))
    }
}
