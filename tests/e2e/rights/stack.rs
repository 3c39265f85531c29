//! The stack whose roles are changed, and what its functions and machines say then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use local_cloud::deploy::DATA_BUCKET;
use local_cloud::{ACCOUNT, REGION};
use mayfly_model::names::{Names, SECRET_LENGTH};
use mayfly_model::plan::{JoinedNetwork, Plan, PlannedNetwork};
use mayfly_model::tags;
use percent_encoding::percent_decode_str;
use regex::Regex;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::Rights;
use crate::support::world::{World, name_in, repository, until};

/// Its name begins with the other stack's, as unluckily as it can: what that one may do to `mayfly-*` fits.
pub const NAME: &str = "mayfly-rights";

/// A job without an execution.
pub const SOLO: &str = "rights-solo";

/// Another one, which has a network of its own.
pub const PRIVATE: &str = "rights-private";

/// The keys that the stack's jobs may read and write.
pub const PREFIXES: [&str; 2] = ["mayfly-data/in.mp4", "mayfly-data/mayfly-rights/"];
/// The images that its jobs may name.
pub const IMAGES: &str = "tools/*";
/// The repository of one that is there.
const PUBLISHED: &str = "tools/published";

/// A deployed stack.
pub struct Stack {
    pub world: Arc<World>,
    /// By logical id.
    physical: HashMap<String, String>,
    /// The inline policies of each role as deployed: their names and documents.
    policies: HashMap<String, Vec<(String, Value)>>,
    /// The secret that jobs may name, and the parameter of Parameter Store.
    pub secret: String,
    pub parameter: String,
    /// The same, encrypted with a customer's key.
    pub encrypted: [String; 2],
    /// What create-service is given for [`SOLO`].
    creation: OnceCell<Value>,
    counter: AtomicU32,
}

/// How an invocation has failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    pub error: String,
    pub message: String,
}

impl Stack {
    pub async fn deploy(world: Arc<World>) -> Result<Self> {
        let config = world.cloud().sdk_config();
        let key = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000");
        let (secret, parameter) = secrets(&config, NAME, None).await?;
        let encrypted = secrets(&config, &format!("{NAME}-encrypted"), Some(&key)).await?;
        // Nobody is to take a job that is held for one that is lost.
        let parameters = [
            format!(
                "SecretArns={}",
                [&secret, &parameter, &encrypted.0, &encrypted.1].map(String::as_str).join(",")
            ),
            format!("DataKeyArns={key}"),
            format!("DataPrefixes={}", PREFIXES.join(",")),
            format!("AllowedImages={IMAGES}"),
            "HeartbeatSeconds=3600".to_owned(),
        ];
        let parameters = parameters.each_ref().map(String::as_str);
        world
            .cloud()
            .deploy(repository(), NAME, &[&parameters[..], &["ReportEverySeconds=1"]].concat())
            .await?;
        world.cloud().publish(PUBLISHED)?;

        let cloudformation = aws_sdk_cloudformation::Client::new(&config);
        let pages = cloudformation.list_stack_resources().stack_name(NAME).into_paginator();
        let resources = pages.items().send().collect::<Result<Vec<_>, _>>().await?;
        let mut stack = Self {
            world,
            physical: HashMap::new(),
            policies: HashMap::new(),
            secret,
            parameter,
            encrypted: encrypted.into(),
            creation: OnceCell::new(),
            counter: AtomicU32::default(),
        };
        for resource in resources {
            let (Some(id), Some(physical)) = (resource.logical_resource_id, resource.physical_resource_id)
            else {
                continue;
            };
            if resource.resource_type.as_deref() == Some("AWS::IAM::Role") {
                let policies = stack.inline_policies(&physical).await?;
                stack.policies.insert(id.clone(), policies);
            }
            stack.physical.insert(id, physical);
        }
        Ok(stack)
    }

    async fn inline_policies(&self, role: &str) -> Result<Vec<(String, Value)>> {
        let iam = &self.world.iam;
        let mut policies = Vec::new();
        for name in iam.list_role_policies().role_name(role).send().await?.policy_names {
            let policy = iam.get_role_policy().role_name(role).policy_name(&name).send().await?;
            // IAM API Reference, `GetRolePolicy`: the document is URL-encoded.
            let document = percent_decode_str(&policy.policy_document).decode_utf8()?;
            policies.push((name, serde_json::from_str(&document)?));
        }
        Ok(policies)
    }

    /// What the roles were granted by the deployment.
    pub fn granted(&self) -> Rights {
        let roles = self.policies.keys();
        roles.map(|role| (role.clone(), self.granted_to(role).into_keys().collect())).collect()
    }

    /// What the role was granted by the deployment: the resources of each action.
    pub fn granted_to(&self, role: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut granted = BTreeMap::<String, BTreeSet<String>>::new();
        let documents = self.policies[role].iter().map(|(_, document)| document);
        for statement in documents.flat_map(|document| one_or_many(&document["Statement"])) {
            for action in texts(&statement["Action"]) {
                granted
                    .entry(action.to_owned())
                    .or_default()
                    .extend(texts(&statement["Resource"]).map(str::to_owned));
            }
        }
        granted
    }

    /// Lets the role do what it was granted, but for `actions`.
    pub async fn limit(&self, role: &str, actions: &[&str]) -> Result<()> {
        self.keep(role, |action, _| !actions.contains(&action)).await
    }

    /// Lets the role do what it was granted, but for `action` on `resource`.
    pub async fn limit_on(&self, role: &str, action: &str, resource: &str) -> Result<()> {
        self.keep(role, |an_action, a_resource| (an_action, a_resource) != (action, resource)).await
    }

    /// Lets the role do those of the actions on those of the resources that it was granted.
    async fn keep(&self, role: &str, is_kept: impl Fn(&str, &str) -> bool) -> Result<()> {
        let (iam, name) = (&self.world.iam, self.id(role)?);
        for (policy, document) in &self.policies[role] {
            let mut document = document.clone();
            let mut statements = Vec::new();
            for statement in one_or_many(&document["Statement"]) {
                for action in texts(&statement["Action"]) {
                    let kept = texts(&statement["Resource"]).filter(|resource| is_kept(action, resource));
                    let mut one = statement.clone();
                    (one["Action"], one["Resource"]) = (action.into(), kept.collect());
                    statements.push(one);
                }
            }
            statements.retain(|statement| statement["Resource"] != json!([]));
            if statements.is_empty() {
                let deleted = iam.delete_role_policy().role_name(name).policy_name(policy).send().await;
                match deleted.map_err(SdkError::into_service_error) {
                    Err(error) if !error.is_no_such_entity_exception() => return Err(error.into()),
                    _ => continue,
                }
            }
            document["Statement"] = statements.into();
            let put = iam.put_role_policy().role_name(name).policy_name(policy);
            put.policy_document(document.to_string()).send().await?;
        }
        self.world.cloud().forget_policies();
        Ok(())
    }

    /// The name that AWS has given to a resource of the template.
    pub fn id(&self, logical: &str) -> Result<&str> {
        self.physical.get(logical).map(String::as_str).with_context(|| format!("the stack has no {logical}"))
    }

    /// A number that was never given before.
    pub fn number(&self) -> u32 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Invokes a function with what it is to succeed with.
    pub async fn call(&self, function: &str, payload: &Value) -> Result<Value> {
        self.invoke(function, payload).await?.map_err(|failed| anyhow::anyhow!("{function}: {failed:?}"))
    }

    pub async fn invoke(&self, function: &str, payload: &Value) -> Result<Result<Value, Failed>> {
        let name = self.id(&format!("{}Function", pascal(function)))?;
        Ok(self.world.invoke(name, payload).await?.map_err(|failed| {
            let text = |name: &str| failed[name].as_str().unwrap_or_default().to_owned();
            Failed { error: text("errorType"), message: text("errorMessage") }
        }))
    }

    /// What Step Functions gives to plan-job for a job with a network, an input and an output of its own.
    pub fn submission(&self, job: &str) -> Result<Value> {
        let network = json!({
            "mode": "existing", "subnets": [self.id("FirstPublicSubnet")?],
            "securityGroups": [self.id("TaskSecurityGroup")?], "assignPublicIp": true,
        });
        Ok(self.submission_in(job, &network))
    }

    fn submission_in(&self, job: &str, network: &Value) -> Value {
        let task = json!({
            "inputs": [{ "file": "in.mp4", "from": format!("s3://{DATA_BUCKET}/in.mp4") }],
            "command": ["sleep", "600"],
            "outputs": [{ "file": "out.mp4", "to": format!("s3://{DATA_BUCKET}/{NAME}/out.mp4") }],
        });
        json!({
            "job": job,
            "execution": format!("{}-{}", execution("run-job", job), self.number()),
            "startTime": "2100-01-01T00:00:00Z",
            "document": { "network": network, "task": task },
        })
    }

    /// The same of a job whose image is none of the stack's own.
    pub fn submission_of_image(&self, job: &str) -> Result<Value> {
        let mut submission = self.submission(job)?;
        let image = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{PUBLISHED}:default");
        submission["document"]["container"] = json!({ "image": image });
        Ok(submission)
    }

    /// The plan of a new run of the job, with a mailbox that nobody has made yet.
    pub async fn plan(&self, job: &str) -> Result<Plan> {
        Ok(serde_json::from_value(self.call("plan-job", &self.submission(job)?).await?)?)
    }

    /// The plan of a new run of the job, which has a network of its own.
    pub async fn private_plan(&self, job: &str) -> Result<Plan> {
        let submission = self.submission_in(job, &json!({ "mode": "private", "egress": "nat" }));
        Ok(serde_json::from_value(self.call("plan-job", &submission).await?)?)
    }

    /// The stack's own VPC.
    pub async fn vpc(&self) -> Result<String> {
        let PlannedNetwork::Joined(JoinedNetwork { subnets, .. }) = self.plan(SOLO).await?.network else {
            bail!("{SOLO} has a network of its own")
        };
        let described = self.world.ec2.describe_subnets().set_subnet_ids(Some(subnets)).send().await?;
        let vpc = described.subnets().first().and_then(|subnet| subnet.vpc_id());
        Ok(vpc.context("the stack's subnets are in a VPC")?.to_owned())
    }

    /// What create-service is given for [`SOLO`]: always the same, so that there is one service.
    pub async fn creation(&self) -> Result<&Value> {
        self.creation.get_or_try_init(|| self.service(SOLO)).await
    }

    /// What create-service is given for a new run of the job, for which everything else is made.
    pub async fn service(&self, job: &str) -> Result<Value> {
        let plan = self.plan(job).await?;
        let PlannedNetwork::Joined(network) = &plan.network else { bail!("{job} has a network of its own") };
        self.service_in(&plan, network).await
    }

    /// The same for a plan and the network that was made for it.
    pub async fn service_in(&self, plan: &Plan, network: &JoinedNetwork) -> Result<Value> {
        self.call("create-queue", &json!({ "plan": plan })).await?;
        let registered = self.call("register-task", &json!({ "plan": plan })).await?;
        let definition = &registered["taskDefinition"];
        Ok(json!({
            "plan": plan, "network": network, "turn": plan.first_turn, "taskDefinition": definition,
        }))
    }

    /// What find-task is asked about the service that create-service is given this for.
    pub fn whereabouts(creation: &Value) -> Value {
        let (plan, turn, cluster) = (&creation["plan"], &creation["turn"], &creation["network"]["cluster"]);
        json!({ "plan": plan, "turn": turn, "cluster": cluster })
    }

    /// Waits until the task of that service runs.
    pub async fn running(&self, creation: &Value) -> Result<()> {
        let whereabouts = Self::whereabouts(creation);
        until("a running task", || async { Ok(self.invoke("find-task", &whereabouts).await?.ok()) }).await?;
        Ok(())
    }

    /// Makes a mailbox of the job without asking the job, and gives its URL.
    pub async fn mailbox(&self, job: &str, expiry: &str) -> Result<String> {
        let execution = execution("run-job", job);
        let tags = [
            (tags::STACK, NAME),
            (tags::JOB, job),
            (tags::EXECUTION, execution.as_str()),
            (tags::EXPIRY, expiry),
        ];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let secret = format!("{:0>SECRET_LENGTH$}", self.number());
        let name = Names::new(NAME, job).mailbox(&secret);
        let made = self.world.sqs.create_queue().queue_name(name).set_tags(Some(tags)).send().await?;
        made.queue_url.context("a queue has a URL")
    }

    /// The job's item in the table of jobs, once it has been dispatched.
    pub async fn record(&self, job: &str) -> Result<HashMap<String, String>> {
        let key = AttributeValue::S(job.to_owned());
        let table = self.id("JobsTable")?;
        let item = until(&format!("the record of {job}"), || async {
            Ok(self.world.dynamodb.get_item().table_name(table).key("job", key.clone()).send().await?.item)
        })
        .await?;
        Ok(item.into_iter().filter_map(|(name, value)| Some((name, value.as_s().ok()?.clone()))).collect())
    }

    /// Starts a job.
    pub async fn start(&self, job: &str, document: &Value) -> Result<String> {
        Ok(self.world.try_start(&machine("run-job"), job, document).await?)
    }

    /// Waits until the execution's history has a denial of `action`.
    pub async fn denied_in(&self, execution: &str, action: &str) -> Result<()> {
        until(&format!("{execution} to be denied {action}"), || async {
            let history = self.world.states.get_execution_history().execution_arn(execution);
            let history = match history.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await {
                Ok(history) => history,
                // A nested execution that has not been started.
                Err(error) if error.as_service_error().is_some_and(|e| e.is_execution_does_not_exist()) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            Ok(history.iter().filter_map(cause).any(|cause| denies(cause, action)).then_some(()))
        })
        .await
    }

    /// The log of all containers of the job.
    pub async fn container_log(&self, job: &str) -> Result<Vec<String>> {
        self.world.log_of(NAME, "jobs", &format!("{}/", Names::new(NAME, job).base())).await
    }

    /// What functions have logged of the action.
    pub async fn function_log(&self, action: &str) -> Result<Vec<String>> {
        let group = format!("/mayfly/{NAME}/functions");
        let filter =
            self.world.logs.filter_log_events().log_group_name(group).filter_pattern(format!("\"{action}\""));
        let pages = filter.into_paginator().send().collect::<Result<Vec<_>, _>>().await?;
        let events = pages.into_iter().flat_map(|page| page.events.unwrap_or_default());
        Ok(events.filter_map(|event| event.message).collect())
    }

    /// Takes down what has no execution, and looks whether then nothing is left of any job.
    pub async fn nothing_left(&self) -> Result<()> {
        for job in [SOLO, PRIVATE] {
            self.world.try_start(&machine("tear-down"), job, &json!({ "job": job })).await?;
        }
        let mut jobs = Vec::new();
        for name in ["run-job", "tear-down"] {
            for (arn, _) in self.world.executions(&machine(name)).await? {
                self.world.ended(&arn).await?;
                jobs.extend((name == "run-job").then(|| name_in(&arn).to_owned()));
            }
        }
        // The rule's teardown of a job that a sweep has stopped may begin a moment later.
        until("a last sweep to find nothing", || async {
            let swept = self.call("sweep-expired", &json!({})).await?;
            let has_found = swept["found"].as_array().is_some_and(|found| !found.is_empty());
            let mut idle = swept.clone();
            idle["found"] = json!([]);
            ensure!(idle == nothing_swept(), "a last sweep: {swept:#}");
            Ok((!has_found).then_some(()))
        })
        .await?;
        for job in jobs {
            self.world.nothing_left(&job).await?;
        }
        Ok(())
    }

    /// Waits for an execution that ended well.
    pub async fn succeeded(&self, arn: &str) -> Result<()> {
        let ended = self.world.ended(arn).await?;
        ensure!(ended.status == ExecutionStatus::Succeeded, "{arn}: {:?} {:?}", ended.error, ended.cause);
        Ok(())
    }
}

/// The answer of a sweep that has found nothing to do.
pub fn nothing_swept() -> Value {
    json!({ "found": [], "stopped": [], "tornDown": [], "strays": [] })
}

/// The ARN of an execution of one of the stack's machines.
pub fn execution(machine: &str, name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{NAME}-{machine}:{name}")
}

/// The ARN of one of the stack's machines.
pub fn machine(name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{NAME}-{name}")
}

/// Whether `text` is AWS's denial of `action`, which SQS spells in lower case.
/// Makes a secret and a parameter, encrypted with `key` or that of AWS's own, and tells their ARNs.
async fn secrets(config: &SdkConfig, name: &str, key: Option<&str>) -> Result<(String, String)> {
    let key = key.map(str::to_owned);
    let create =
        aws_sdk_secretsmanager::Client::new(config).create_secret().name(name).secret_string("s3cr3t");
    let secret = create.set_kms_key_id(key.clone()).send().await?.arn.context("a secret has an ARN")?;
    let parameters = aws_sdk_ssm::Client::new(config);
    let put = parameters.put_parameter().name(name).value("s3cr3t").set_key_id(key);
    put.r#type(aws_sdk_ssm::types::ParameterType::SecureString).send().await?;
    let parameter = parameters.get_parameter().name(name).send().await?.parameter;
    Ok((secret, parameter.and_then(|parameter| parameter.arn).context("a parameter has an ARN")?))
}

pub fn denies(text: &str, action: &str) -> bool {
    let denial = Regex::new(&format!(r"(?i)(not authorized to perform:|denied) {action}\b"));
    denial.expect("an action's name is a regular expression").is_match(text)
}

fn cause(event: &HistoryEvent) -> Option<&str> {
    let of_lambda = event.lambda_function_failed_event_details().and_then(|details| details.cause());
    let of_task = event.task_failed_event_details().and_then(|details| details.cause());
    let of_execution = event.execution_failed_event_details().and_then(|details| details.cause());
    of_task.or(of_lambda).or(of_execution)
}

/// `plan-job` as the template spells it: `PlanJob`.
pub fn pascal(folder: &str) -> String {
    folder.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    one_or_many(value).iter().filter_map(Value::as_str)
}

/// IAM takes one value for a list of one.
fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}
