//! A simulated account: every service that Mayfly uses, in this process, on virtual time, from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aws_credential_types::Credentials;
use local_aws::auth::Guard;
use local_aws::calls::CallLog;
use local_aws::clock::{Clock, TimeScale};
use local_aws::random::Random;
use local_aws::server::in_process;
use local_aws::upstream::Upstream;
use local_ec2::Ec2;
use local_ecs::Ecs;
use local_elb::Elb;
use local_registry::{Ecr, EcrConfig};
use local_states::StepFunctions;
use mayfly_lambda::SdkConfig;
use mayfly_stand_ins::bus::{Bus, Rule};
use mayfly_stand_ins::dynamodb::DynamoDb;
use mayfly_stand_ins::json::Surroundings;
use mayfly_stand_ins::logs::CloudWatchLogs;
use mayfly_stand_ins::poller::Poller;
use mayfly_stand_ins::request::LAYERS;
use mayfly_stand_ins::s3::objects::Objects;
use mayfly_stand_ins::s3::{Bucket, S3};
use mayfly_stand_ins::sqs::Sqs;
use mayfly_stand_ins::sts::Sts;
use mayfly_stand_ins::{bus, s3, sts};
use serde_json::Value;

use crate::circumstance::{Circumstance, Events};
use crate::images::Images;
use crate::lambda::{Lambda, Ran, Runs};
use crate::phases::Phases;
use crate::router::{MINISTACK, Router, Services};
use crate::stack::{DATA_BUCKET, Stack};
use crate::wire::Fates;
use crate::witness::Witness;
use crate::world::{Machines, Reached, Stacks};

/// The Region that everything is in.
pub const REGION: &str = "eu-central-1";
/// The account that everything is in.
pub const ACCOUNT: &str = "123456789012";

/// The name of the execution of the job that circumstances are about, and so the job's id.
pub const JOB: &str = "job-0";

/// The access key of the account's root.
const ROOT: &str = "AKIAROOT";

/// When every run begins.
const START: &str = "2026-11-29T00:00:00Z";

/// What the account may have; by default what AWS gives to a new one.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Of networks.
    pub ec2: local_ec2::Quotas,
    /// Of tasks.
    pub ecs: local_ecs::Quotas,
    /// Of load balancers.
    pub elb: local_elb::Quotas,
    /// How many functions run at a time.
    pub functions: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        // "New AWS accounts have reduced concurrency": ten functions at a time (Lambda developer guide, "Lambda quotas").
        Self {
            ec2: local_ec2::Quotas::default(),
            ecs: local_ecs::Quotas::default(),
            elb: local_elb::Quotas::default(),
            functions: 10,
        }
    }
}

/// What an account is made of.
#[derive(Debug)]
pub struct Config {
    /// Its time, its randomness, and the way to its services: see [`upstream`].
    pub upstream: (Upstream, Router),
    /// What it may have.
    pub quotas: Quotas,
    /// What becomes of the functions' calls.
    pub fates: Arc<dyn Fates>,
    /// What becomes of the functions' runs.
    pub runs: Arc<dyn Runs>,
    /// What runs containers.
    pub runtime: Arc<dyn local_ecs::Runtime>,
    /// What is in its buckets.
    pub objects: Objects,
    /// What is wrong around everything.
    pub circumstances: Vec<Circumstance>,
}

/// The account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its services' surroundings.
    pub upstream: Upstream,
    /// All calls so far.
    pub calls: CallLog,
    /// What was created so far.
    pub witness: Witness,
    /// What is wrong for a part of the time.
    pub phases: Phases,
    /// Its stacks.
    pub stacks: Stacks,
    /// What asks for their roles' rights.
    pub guard: Guard,
    /// Its functions.
    pub lambda: Lambda,
    /// Its state machines' executions.
    pub step_functions: StepFunctions<Machines>,
    /// Its tasks.
    pub ecs: Ecs,
    /// Its tables.
    pub dynamodb: DynamoDb,
    /// Its queues.
    pub sqs: Sqs,
    /// Its logs.
    pub logs: CloudWatchLogs,
    /// Its rules and schedules.
    pub bus: Bus,
}

impl Account {
    /// An account without anything in it. Whoever makes it runs in a Tokio runtime whose clock is paused.
    pub fn new(config: Config) -> Self {
        let Config { upstream: (upstream, router), quotas, fates, runs, runtime, objects, circumstances } =
            config;
        let (of_networks, of_balancers, of_tasks) = faults(&circumstances);
        let seed: u64 = upstream.random.value();
        let clock = upstream.clock;
        let stacks = Stacks::default();
        let guard = Guard::new(upstream.clone(), stacks.clone());
        let calls = CallLog::new(clock);
        let ec2 = Ec2::new(local_ec2::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            quotas: quotas.ec2,
            faults: of_networks,
        });
        let elb = Elb::new(local_elb::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            ec2: ec2.clone(),
            quotas: quotas.elb,
            faults: of_balancers,
        });
        let phases = Phases::new(&circumstances, clock);
        let lambda = Lambda::new(crate::lambda::Config {
            upstream: upstream.clone(),
            router: router.clone(),
            fates,
            runs,
            phases: phases.clone(),
            concurrency: concurrency(&quotas, &circumstances),
        });
        let reached = Reached {
            stacks: stacks.clone(),
            lambda: lambda.clone(),
            guard: guard.clone(),
            upstream: upstream.clone(),
        };
        let around = Surroundings { upstream: upstream.clone(), guard: guard.clone(), calls: calls.clone() };
        let bus = Bus::new(bus::Config {
            around: around.clone(),
            targets: Arc::new(reached),
            delivery: Arc::new(Events::new(&circumstances, seed)),
        });
        let ecs = Ecs::new(local_ecs::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            bus: Arc::new(bus.clone()),
            calls: calls.clone(),
            ec2: ec2.clone(),
            elb: elb.clone(),
            runtime,
            faults: of_tasks,
            quotas: quotas.ecs,
            agent: "http://169.254.170.2".to_owned(),
        });
        let step_functions = StepFunctions::new(local_states::Config {
            upstream: upstream.clone(),
            guard: guard.clone(),
            calls: calls.clone(),
            world: Machines {
                stacks: stacks.clone(),
                lambda: lambda.clone(),
                guard: guard.clone(),
                bus: bus.clone(),
            },
        });
        let dynamodb = DynamoDb::new(around.clone());
        let (ecr, sts, s3) = (ecr(&around), sts(&around, stacks.clone()), s3(&around, objects));
        let sqs = Sqs::new(around.clone());
        let logs = CloudWatchLogs::new(around);
        router.open(
            Services::default()
                .with("dynamodb", dynamodb.clone())
                .with("ecr", ecr)
                .with("sqs", sqs.clone())
                .with("logs", logs.clone())
                .with("s3", s3)
                .with("sts", sts)
                .with("events", bus.clone())
                .with("ec2", ec2.clone())
                .with("ecs", ecs.clone())
                .with("elasticloadbalancing", elb)
                .with("states", step_functions.clone()),
        );
        Self {
            upstream,
            calls,
            witness: router.witness.clone(),
            phases,
            stacks,
            guard,
            lambda,
            step_functions,
            ecs,
            dynamodb,
            sqs,
            logs,
            bus,
        }
    }

    /// Configuration for clients that act as the account's root.
    pub fn root(&self) -> SdkConfig {
        root(&self.upstream)
    }

    /// Deploys the code of the stack's functions and machines.
    pub fn publish(&self, stack: &Stack) {
        for function in &stack.functions {
            self.lambda.deploy(function.clone());
        }
        self.stacks.insert(stack.clone());
    }

    /// Deploys the stack `name`.
    ///
    /// # Errors
    /// Where something of it is refused.
    pub async fn deploy(&self, name: &str, parameters: &[(&str, &str)]) -> Result<Stack> {
        let stack = Stack::deploy(&self.upstream, name, parameters).await?;
        self.publish(&stack);
        for queue in stack.of_kind("AWS::SQS::Queue") {
            let name = stack.arn(&queue).rsplit(':').next().unwrap_or_default();
            let made = self.sqs.make_queue(name, &stack.properties(&queue)?);
            made.map_err(|refused| anyhow::anyhow!("{}: {}", refused.code, refused.message))?;
        }
        for table in stack.of_kind("AWS::DynamoDB::Table") {
            let properties = stack.properties(&table)?;
            let key = properties["KeySchema"][0]["AttributeName"].as_str().context("a key")?;
            let ttl =
                properties["TimeToLiveSpecification"]["AttributeName"].as_str().context("a time to live")?;
            self.dynamodb.make_table(stack.id(&table), key, ttl);
        }
        for group in stack.of_kind("AWS::Logs::LogGroup") {
            self.logs.make_group(stack.id(&group));
        }
        for rule in stack.of_kind("AWS::Events::Rule") {
            self.bus.put_rule(Rule::new(stack.id(&rule), stack.arn(&rule), &stack.properties(&rule)?)?);
        }
        for mapping in stack.of_kind("AWS::Lambda::EventSourceMapping") {
            let properties = stack.properties(&mapping)?;
            let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
            let function = properties["FunctionName"].as_str().context("a function")?;
            let function = stack.functions.iter().find(|known| known.arn.ends_with(&format!(":{function}")));
            let function = function.context("a function of the stack")?.arn.clone();
            let poller = Poller {
                sqs: self.sqs.clone(),
                queue: properties["EventSourceArn"].as_str().context("a queue")?.to_owned(),
                batch: number(&properties["BatchSize"]).context("a size")?,
                concurrency: number(&properties["ScalingConfig"]["MaximumConcurrency"])
                    .context("a number")?,
            };
            let lambda = self.lambda.clone();
            tokio::spawn(poller.run(move |payload| {
                let (lambda, function) = (lambda.clone(), function.clone());
                async move {
                    match lambda.invoke(&function, &payload).await {
                        Ok(Ran::Answered(answer)) => Some(answer),
                        Ok(Ran::Threw(_)) | Err(_) => None,
                    }
                }
            }));
        }
        Ok(stack)
    }
}

/// How many functions run at a time.
fn concurrency(quotas: &Quotas, circumstances: &[Circumstance]) -> usize {
    let room = circumstances.iter().filter_map(|circumstance| match circumstance {
        Circumstance::Busy(room) => Some(*room),
        _ => None,
    });
    room.fold(quotas.functions, usize::min)
}

/// What lends roles to those whom they trust.
fn sts(around: &Surroundings, stacks: Stacks) -> Sts {
    let trust = move |role: &str| stacks.find(|stack| stack.trust.get(role).cloned());
    Sts::new(sts::Config { around: around.clone(), trust: Arc::new(trust) })
}

fn ecr(around: &Surroundings) -> Ecr {
    Ecr::new(EcrConfig {
        upstream: around.upstream.clone(),
        guard: around.guard.clone(),
        calls: around.calls.clone(),
        store: Arc::new(Images),
        registry: ("https://registry".to_owned(), "nobody signs in".to_owned()),
        origin: LAYERS.to_owned(),
    })
}

/// What is below a prefix of the bucket, in more than one page.
const FRAMES_PREFIX: &str = "frames/";
const FRAMES: [&str; 5] = ["1.png", "2.png", "a b/3.png", "ä.png", "ö.png"];

/// The bucket of the jobs.
fn s3(around: &Surroundings, objects: Objects) -> S3 {
    let keys = FRAMES.iter().map(|name| format!("{FRAMES_PREFIX}{name}")).collect();
    let data = Bucket { region: REGION.to_owned(), foreign: false, keys };
    let buckets = BTreeMap::from([(DATA_BUCKET.to_owned(), data)]);
    S3::new(s3::Config { around: around.clone(), buckets, objects })
}

/// What circumstances make of networks, load balancers and tasks.
fn faults(circumstances: &[Circumstance]) -> (local_ec2::Faults, local_elb::Faults, local_ecs::Faults) {
    let of_networks = local_ec2::Faults::default();
    let of_balancers = local_elb::Faults::default();
    let of_tasks = local_ecs::Faults::default();
    for circumstance in circumstances {
        match circumstance {
            Circumstance::Networks(fault) => of_networks.add(JOB, *fault),
            Circumstance::Balancers(fault) => of_balancers.add(JOB, *fault),
            Circumstance::Tasks(rule) => of_tasks.add(JOB, [rule.clone()]),
            _ => {}
        }
    }
    (of_networks, of_balancers, of_tasks)
}

/// What takes nothing for MiniStack's, unlike the stand-ins' own configuration.
pub(crate) fn root(upstream: &Upstream) -> SdkConfig {
    let mut config = upstream.root_config().into_builder();
    config.set_endpoint_url(None);
    config.build()
}

/// What surrounds the services of an account in which everything random comes from `seed`, and the way to them.
pub fn upstream(seed: u64) -> (Upstream, Router) {
    let start = START.parse().expect("a time");
    let clock = Clock::new(TimeScale::REAL, TimeScale::REAL).starting_at(start);
    let router = Router::default();
    let root = Credentials::new(ROOT, "root", None, None, "simulation");
    let host = |service: &str| format!("https://{service}.{REGION}.amazonaws.com");
    let upstream = Upstream {
        ministack: MINISTACK.to_owned(),
        ec2: host("ec2"),
        ecs: host("ecs"),
        elb: host("elasticloadbalancing"),
        states: host("states"),
        sts: host("sts"),
        is_public: false,
        http: in_process(router.clone()),
        ..Upstream::new(REGION, ACCOUNT, root, clock, Random::seeded(seed))
    };
    (upstream, router)
}
