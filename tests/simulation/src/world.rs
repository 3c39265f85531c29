//! What the machines run in: the functions of the account, and its bus.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use aws_sdk_sfn::error::DisplayErrorContext;
use futures_util::future::BoxFuture;
use local_aws::auth::{Caller, Guard, Rights};
use local_aws::events::Events as _;
use local_aws::policy::{Context, Policy};
use local_aws::upstream::{Session, Upstream};
use local_states::language::failure::Failure;
use local_states::world::{Invoked, Source, World};
use mayfly_stand_ins::bus::{Bus, Run, Targets, Undelivered};
use serde_json::Value;

use crate::account::REGION;
use crate::lambda::{Lambda, NotRun, Ran};
use crate::stack::Stack;

/// The stacks of the account, by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Stacks(Arc<Mutex<BTreeMap<String, Stack>>>);

impl Stacks {
    /// Deploys `stack`, or a new version of it.
    pub fn insert(&self, stack: Stack) {
        self.lock().insert(stack.name.clone(), stack);
    }

    /// What `find` finds in one of the stacks.
    pub fn find<T>(&self, find: impl FnMut(&Stack) -> Option<T>) -> Option<T> {
        self.lock().values().find_map(find)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Stack>> {
        self.0.lock().expect("no thread panics while it holds the stacks")
    }
}

impl Rights for Stacks {
    /// Functions' sessions are known from when their environments are made.
    fn session<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Session>>> {
        Box::pin(async { Ok(None) })
    }

    fn policies<'a>(&'a self, role_arn: &'a str) -> BoxFuture<'a, Result<Vec<Policy>>> {
        let policies = self.find(|stack| stack.policies.get(role_arn).cloned());
        Box::pin(async move { policies.ok_or_else(|| anyhow::anyhow!("there is no role {role_arn}")) })
    }
}

/// The world of the machines.
#[derive(Clone, Debug)]
pub struct Machines {
    /// Whose machines.
    pub stacks: Stacks,
    /// Where their functions run.
    pub lambda: Lambda,
    /// What their roles may do.
    pub guard: Guard,
    /// Where what they say goes.
    pub bus: Bus,
}

impl Machines {
    /// As IAM has it of a machine's role.
    async fn may(&self, role: &str, action: &str, resource: &str) -> Result<(), String> {
        let account = role.split(':').nth(4).unwrap_or_default();
        let name = role.rsplit('/').next().unwrap_or_default();
        let caller = Caller {
            arn: format!("arn:aws:sts::{account}:assumed-role/{name}/StepFunctions"),
            role: Some(role.to_owned()),
            session_policy: None,
        };
        let allowed = self.guard.authorize(&caller, action, resource, &Context::new()).await;
        allowed.map_err(|refusal| refusal.message)
    }
}

impl World for Machines {
    async fn machine(&self, arn: &str) -> Result<Option<Source>> {
        Ok(self.stacks.find(|stack| stack.machines.get(arn).cloned()))
    }

    async fn machines(&self) -> Result<Vec<String>> {
        Ok(self.stacks.lock().values().flat_map(|stack| stack.machines.keys().cloned()).collect())
    }

    async fn invoke(&self, role: &str, function: &str, payload: &Value) -> Result<Invoked, Failure> {
        self.may(role, "lambda:InvokeFunction", function)
            .await
            .map_err(|message| Failure::new("Lambda.AWSLambdaException", message))?;
        match self.lambda.invoke(function, &payload.to_string()).await {
            Ok(ran) => {
                let threw = matches!(ran, Ran::Threw(_));
                let (Ran::Answered(payload) | Ran::Threw(payload)) = ran;
                Ok(Invoked { payload, threw, version: "$LATEST".to_owned() })
            }
            Err(NotRun::NotFound) => Err(Failure::new(
                "Lambda.ResourceNotFoundException",
                format!("Function not found: {function}"),
            )),
            Err(NotRun::Throttled) => Err(Failure::new("Lambda.TooManyRequestsException", "Rate Exceeded.")),
            // Developer guide, "Handling errors in Step Functions workflows": "Transient Lambda service exceptions".
            Err(NotRun::Unanswered) => Err(Failure::new(
                "Lambda.SdkClientException",
                "Unable to execute HTTP request: Read timed out",
            )),
        }
    }

    async fn put_events(&self, role: &str, entries: &[Value]) -> Result<Value, Failure> {
        for entry in entries {
            let bus = entry["EventBusName"].as_str().unwrap_or("default");
            let account = role.split(':').nth(4).unwrap_or_default();
            let resource = format!("arn:aws:events:{REGION}:{account}:event-bus/{bus}");
            self.may(role, "events:PutEvents", &resource)
                .await
                .map_err(|message| Failure::new("EventBridge.AmazonEventBridgeException", message))?;
        }
        self.bus
            .put_entries(entries)
            .map_err(|refused| Failure::new(format!("EventBridge.{}", refused.code), refused.message))
    }

    fn announce(&self, execution_arn: &str, detail: Value) {
        let resources = vec![execution_arn.to_owned()];
        self.bus.put("aws.states", "Step Functions Execution Status Change", resources, detail);
    }
}

/// What rules and schedules reach: the functions and the machines of the stacks.
#[derive(Clone)]
pub struct Reached {
    /// Whose.
    pub stacks: Stacks,
    /// Where functions run.
    pub lambda: Lambda,
    /// What roles may do.
    pub guard: Guard,
    /// As which role machines are started.
    pub upstream: Upstream,
}

impl Debug for Reached {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Reached")
    }
}

impl Reached {
    /// A rule is admitted by a permission of the function's, a role by its own policies.
    async fn allows(&self, function: &str, caller: &str) -> Result<(), String> {
        if caller.contains(":role/") {
            let arn = format!(
                "{}/EventBridge",
                caller.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
            );
            let role = Caller { arn, role: Some(caller.to_owned()), session_policy: None };
            let allowed =
                self.guard.authorize(&role, "lambda:InvokeFunction", function, &Context::new()).await;
            return allowed.map_err(|refusal| refusal.message);
        }
        let admitted = self.stacks.find(|stack| {
            let permissions = stack.of_kind("AWS::Lambda::Permission");
            let of_rule = |logical: &String| {
                let properties = stack.properties(logical).unwrap_or_default();
                let name = properties["FunctionName"].as_str().unwrap_or_default();
                function.ends_with(&format!(":{name}")) && properties["SourceArn"] == caller
            };
            permissions.iter().any(of_rule).then_some(())
        });
        admitted.ok_or_else(|| format!("{function} does not admit {caller}"))
    }
}

impl Targets for Reached {
    fn admits<'a>(&'a self, function: &'a str, caller: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.allows(function, caller))
    }

    fn run<'a>(&'a self, function: &'a str, payload: &'a str) -> BoxFuture<'a, Run> {
        Box::pin(async move {
            match self.lambda.invoke(function, payload).await {
                Ok(Ran::Answered(_)) => Run::Done,
                Ok(Ran::Threw(told)) => Run::Threw(told),
                Err(NotRun::NotFound | NotRun::Throttled | NotRun::Unanswered) => Run::Throttled,
            }
        })
    }

    fn start_execution<'a>(
        &'a self,
        role: &'a str,
        machine: &'a str,
        name: &'a str,
        input: &'a str,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            let config = self.upstream.role_config(role, "EventBridge").await;
            let mut config =
                config.map_err(|error| Undelivered::ForNow(format!("{error:#}")))?.into_builder();
            config.set_endpoint_url(None);
            let start =
                aws_sdk_sfn::Client::new(&config.build()).start_execution().state_machine_arn(machine);
            let started = start.name(name).input(input).send().await;
            started.map(drop).map_err(|error| Undelivered::ForNow(DisplayErrorContext(&error).to_string()))
        })
    }

    fn send<'a>(&'a self, to: &'a str, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move { Err(Undelivered::ForGood(format!("no stack here has {to}"))) })
    }
}
