//! A network of a job's own, made by the stack's own functions in the order of run-job, and what their roles are for.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use mayfly_model::job::Egress;
use mayfly_model::names::Names;
use mayfly_model::plan::{JoinedNetwork, Plan, PlannedNetwork, PlannedService, Purpose};
use serde_json::{Map, Value, json};

use super::Rights;
use super::functions::needed;
use super::stack::{NAME, Stack};
use crate::support::world::{sample, until};

/// The subnet that a step is about, or that its answer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Public,
    Private,
}
use Side::{Private, Public};

/// A function, the side that it is given, and the side that its answer is for.
type Step = (&'static str, Side, Side);

/// In an order in which each finds what those before it have made. Up to here nothing waits but for the VPC's addresses.
const AT_ONCE: &[Step] = &[
    ("create-vpc", Public, Public),
    ("create-vpc", Private, Private),
    ("check-ipv6-block", Private, Private),
    ("enable-dns-hostnames", Private, Private),
    ("create-egress-only-internet-gateway", Private, Private),
    ("create-internet-gateway", Public, Public),
    ("attach-internet-gateway", Public, Public),
    ("create-subnet", Public, Public),
    ("create-subnet", Private, Private),
    ("create-route-table", Public, Public),
    ("create-route-table", Private, Private),
    ("associate-route-table", Public, Public),
    ("associate-route-table", Private, Private),
    ("create-route", Public, Public),
    ("create-security-group", Private, Private),
    ("authorize-ingress", Private, Private),
    ("create-endpoints", Private, Private),
    ("check-endpoints", Private, Private),
    ("create-cluster", Private, Private),
    ("allocate-address", Public, Public),
    ("create-nat-gateway", Public, Private),
];
/// Then the NAT gateway has to be available.
const AT_LAST: &[Step] = &[("check-nat-gateway", Private, Private), ("create-route", Private, Private)];

/// What a service in it is called through.
const BALANCING: &[&str] =
    &["create-target-groups", "create-load-balancer", "create-listeners", "check-load-balancer"];

/// What there is of the network.
pub struct Network {
    pub plan: Plan,
    /// What functions have answered, by the names under which others are given it.
    public: Map<String, Value>,
    private: Map<String, Value>,
}

impl Network {
    /// Nothing of it yet.
    pub async fn planned(stack: &Stack, job: &str) -> Result<Self> {
        Ok(Self { plan: stack.private_plan(job).await?, public: Map::new(), private: Map::new() })
    }

    /// All of it, with a NAT gateway that is pending and without a route to that.
    pub async fn pending(stack: &Stack, job: &str) -> Result<Self> {
        let mut network = Self::planned(stack, job).await?;
        for step in AT_ONCE {
            network.take(stack, *step).await?;
        }
        Ok(network)
    }

    /// Makes it, and sees on the way what the functions' roles are for.
    pub async fn prove(&mut self, stack: &Stack) -> Result<Rights> {
        let mut proven = Rights::new();
        let mut seen = BTreeSet::new();
        for step in AT_ONCE.iter().chain(AT_LAST) {
            let (function, of, _) = *step;
            if seen.insert(function) {
                let input = self.input(function, of)?;
                let payload = async |scene| payload(stack, function, scene, &input).await;
                proven.extend(needed(stack, function, payload).await?);
            }
            self.take(stack, *step).await?;
        }
        for function in BALANCING {
            let input = self.balancing_input()?;
            let payload = async |scene| Ok((scene == 0).then(|| input.clone()));
            proven.extend(needed(stack, function, payload).await?);
            // Nothing is behind it, so that it is never ready.
            if *function != "check-load-balancer" {
                self.public
                    .extend(stack.call(function, &input).await?.as_object().cloned().unwrap_or_default());
            }
        }
        Ok(proven)
    }

    /// Makes the target groups and the load balancer once more, if they are gone.
    pub async fn balance(&self, stack: &Stack) -> Result<()> {
        for function in ["create-target-groups", "create-load-balancer"] {
            stack.call(function, &self.balancing_input()?).await?;
        }
        Ok(())
    }

    /// What the functions are given that make or check the load balancer of a service in this network.
    fn balancing_input(&self) -> Result<Value> {
        let mut input = self.input("create-load-balancer", Public)?;
        input["plan"] = json!(balanced(self.plan.clone())?);
        input["subnets"] = json!([input["subnetId"]]);
        Ok(input)
    }

    /// Where a container is to run.
    pub fn place(&self) -> Result<JoinedNetwork> {
        let text = |name: &str| Ok::<_, anyhow::Error>(self.made(name)?.to_owned());
        Ok(JoinedNetwork {
            cluster: text("cluster")?,
            subnets: vec![text("subnetId")?],
            security_groups: vec![text("groupId")?],
            assign_public_ip: false,
            vpc_id: None,
        })
    }

    /// What was made for the private subnet, or for the public one alone.
    pub fn made(&self, name: &str) -> Result<&str> {
        let made = self.private.get(name).or_else(|| self.public.get(name)).and_then(Value::as_str);
        made.with_context(|| format!("the network has no {name}"))
    }

    /// One of its endpoints.
    pub fn endpoint(&self) -> Result<&str> {
        let first = self.private.get("vpcEndpointIds").and_then(|ids| ids[0].as_str());
        first.context("the network has no endpoint")
    }

    /// Gives the subnets their route tables again.
    pub async fn associate(&self, stack: &Stack) -> Result<()> {
        for side in [Public, Private] {
            let function = "associate-route-table";
            stack.call(function, &self.input(function, side)?).await?;
        }
        Ok(())
    }

    /// Everything that any function is given for that side; what one alone is given differently is the network of its own.
    fn input(&self, function: &str, side: Side) -> Result<Value> {
        let PlannedNetwork::Private(network) = &self.plan.network else {
            bail!("the job is to have a network of its own")
        };
        let (name, made, cidr) = match side {
            Public => ("public", &self.public, &network.public_cidr),
            Private => ("private", &self.private, &network.private_cidr),
        };
        let mut network = network.clone();
        if function == "create-vpc" {
            // With addresses of IPv6 as well, so that there is something for each function.
            network.egress = Egress::Ipv6;
        }
        let mut input = made.clone();
        // A route leads to one gateway, and a subnet has one kind of addresses.
        for of_ipv6 in ["egressOnlyInternetGatewayId", "ipv6CidrBlock"] {
            input.remove(of_ipv6);
        }
        let fixed = [
            ("plan", json!(self.plan)),
            ("network", json!(network)),
            ("side", name.into()),
            ("cidrBlock", json!(cidr)),
            ("availabilityZone", network.availability_zone.as_str().into()),
            // Under another name where a route may lead to either.
            ("gatewayId", made.get("internetGatewayId").cloned().into()),
            ("securityGroupId", self.made("groupId").ok().into()),
            ("ingress", json!([{ "port": 443, "cidrs": [network.vpc_cidr] }])),
        ];
        // What is not made yet has no name.
        let known = fixed.into_iter().filter(|(_, value)| !value.is_null());
        input.extend(known.map(|(name, value)| (name.to_owned(), value)));
        Ok(input.into())
    }

    async fn take(&mut self, stack: &Stack, (function, of, to): Step) -> Result<()> {
        let input = self.input(function, of)?;
        let answer = until(&format!("{function} to end well"), || async {
            match stack.invoke(function, &input).await? {
                Ok(answer) => Ok(Some(answer)),
                Err(failed) if ["NatPending", "BlockPending"].contains(&&*failed.error) => Ok(None),
                Err(failed) => bail!("{function}: {failed:?}"),
            }
        })
        .await?;
        let made = if to == Public { &mut self.public } else { &mut self.private };
        made.extend(answer.as_object().cloned().unwrap_or_default());
        Ok(())
    }
}

/// The plan with the sample's service and load balancer, under the job's names.
pub fn balanced(plan: Plan) -> Result<Plan> {
    let names = Names::new(NAME, &plan.job);
    let service = sample("plan.load-balancer.json")?["service"].take();
    let mut service: PlannedService = serde_json::from_value(service)?;
    let load_balancer = service.load_balancer.as_mut().context("the sample has a load balancer")?;
    load_balancer.name = names.load_balancer();
    for targets in &mut load_balancer.targets {
        targets.name = names.target_group(targets.port);
    }
    Ok(Plan { purpose: Purpose::Service(Box::new(service)), ..plan })
}

async fn payload(stack: &Stack, function: &str, scene: u32, input: &Value) -> Result<Option<Value>> {
    let mut input = input.clone();
    match (function, scene) {
        (_, 0) => {}
        // A subnet of IPv6 alone is also changed.
        ("create-subnet", 1) => {
            let vpc = json!({ "plan": input["plan"], "vpcId": input["vpcId"] });
            input["ipv6CidrBlock"] = stack.call("check-ipv6-block", &vpc).await?["ipv6CidrBlock"].clone();
            input["index"] = (stack.number() % 256).into();
            if let Some(fields) = input.as_object_mut() {
                fields.remove("cidrBlock");
            }
        }
        // Interface endpoints besides.
        ("create-endpoints", 1) => input["plan"]["privateNetwork"]["egress"] = "endpoints".into(),
        _ => return Ok(None),
    }
    if function == "create-security-group" {
        // Another job's each time: a group that an earlier call has made would not be made again.
        input["plan"] = json!(stack.private_plan(&format!("rights-group-{}", stack.number())).await?);
    }
    Ok(Some(input))
}
