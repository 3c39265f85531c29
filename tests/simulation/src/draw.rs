//! The jobs that are run, and what a seed draws of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use local_aws::random::Random;
use local_ecs::{Fault as OfTask, Rule};
use mayfly_model::class::Class;
use mayfly_model::job::Pattern;
use mayfly_model::message::{Assignment, Failure};
use mayfly_stand_ins::worker::{Behaviour, Director, Moment, Quirk, ServiceBehaviour};
use serde_json::{Value, json};

use crate::account::Quotas;
use crate::circumstance::Circumstance;
use crate::faults::{Fault, Faults, Rates};
use crate::run::Scenario;
use crate::stack::DATA_BUCKET;

/// The image of services.
pub const SERVICE_IMAGE: &str = "docker.io/library/nginx:stable";
/// The same in the Region's own registry.
pub const SERVICE_IMAGE_IN_REGION: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/nginx:stable";

/// What is set in the stack.
pub const PARAMETERS: [(&str, &str); 3] =
    [("DataBuckets", DATA_BUCKET), ("ExistingSubnets", "*"), ("ExistingSecurityGroups", "*")];

/// The kinds of job that a matrix is made for.
pub const MODES: [&str; 10] = [
    "public",
    LARGE,
    "existing",
    "nat",
    "endpoints",
    "ipv6",
    "service",
    "load-balancer",
    "private-service",
    FOLDERS,
];

/// A job in the network `public` whose inputs and outputs are folders.
const FOLDERS: &str = "folders";
/// Work whose output goes up in parts.
const LARGE: &str = "large";
/// The name of such an output.
const LARGE_OUTPUT: &str = "large.mp4";

/// A service whose network has no way out but endpoints, and a way in of its own for its load balancer: none that a matrix is
/// made for.
pub const ISOLATED: &str = "isolated-service";
/// A service whose containers live for less than three minutes, for a day and a half: none that a matrix is made for.
pub const RESTARTED: &str = "restarted-service";

/// A job of this mode, in which nothing goes wrong by itself: work that takes two minutes, or a service of ten.
///
/// # Panics
/// Where there is no such mode.
pub fn clean(mode: &str) -> Value {
    let network = match mode {
        "public" | LARGE | "service" | "load-balancer" | RESTARTED | FOLDERS => json!({ "mode": "public" }),
        "existing" => json!({
            "mode": "existing", "subnets": ["${FirstPublicSubnet}"],
            "securityGroups": ["${TaskSecurityGroup}"], "assignPublicIp": true
        }),
        ISOLATED => json!({ "mode": "private", "egress": "endpoints" }),
        "nat" | "private-service" => json!({ "mode": "private" }),
        "endpoints" | "ipv6" => json!({ "mode": "private", "egress": mode }),
        mode => panic!("{mode} is none of {MODES:?}"),
    };
    if mode.ends_with("service") || mode == "load-balancer" {
        let is_balanced = !matches!(mode, "service" | RESTARTED);
        let check = if is_balanced { json!({ "path": "/" }) } else { json!({ "command": ["CMD", "check"] }) };
        return json!({
            "network": network,
            "container": { "image": if mode == ISOLATED { SERVICE_IMAGE_IN_REGION } else { SERVICE_IMAGE } },
            "service": {
                "ports": [{ "port": 80 }],
                "allowFrom": ["192.0.2.0/24"],
                "ttlMinutes": if mode == RESTARTED { 33 * 60 } else { 10 },
                "count": if mode == "load-balancer" { 2 } else { 1 },
                "healthCheck": check,
                "loadBalancer": is_balanced,
            },
        });
    }
    let (file, to) = match mode {
        LARGE => (LARGE_OUTPUT, "s3://mayfly-data/${Job}/large.mp4"),
        _ => ("out.mp4", "s3://mayfly-data/out.mp4"),
    };
    let mut document = json!({
        "network": network,
        "task": {
            "inputs": [{ "file": "in.mp4", "from": "s3://mayfly-data/in.mp4" }],
            "command": ["work"],
            "outputs": [{ "file": file, "to": to }],
        },
        "timeoutMinutes": 60,
    });
    if mode == FOLDERS {
        document["task"]["inputs"] = json!([{ "file": "frames/", "from": "s3://mayfly-data/frames/" }]);
        document["task"]["outputs"] = json!([
            { "file": "out.mp4", "to": "s3://mayfly-data/${Job}/out.mp4" },
            { "file": "hls/", "to": "s3://mayfly-data/${Job}/show/", "optional": true },
        ]);
        document["task"]["outputList"] = "s3://mayfly-data/show.jsonl".into();
    }
    document
}

/// How long a job of a matrix waits for room, in minutes.
const QUEUE_MINUTES: u32 = 120;

/// What is set in a stack around which this is wrong.
fn parameters(circumstances: &[Circumstance]) -> Vec<(&'static str, &'static str)> {
    let is_guarded = |circumstance: &Circumstance| matches!(circumstance, Circumstance::GuardDuty(_));
    let guarded = circumstances.iter().any(is_guarded).then_some(("DeleteGuardDutyResources", "true"));
    PARAMETERS.into_iter().chain(guarded).collect()
}

/// A clean job with just these faults and circumstances.
pub fn of_mode(mode: &str, faults: Vec<Fault>, circumstances: Vec<Circumstance>) -> Scenario {
    let mut document = clean(mode);
    let is_scarce = |circumstance: &Circumstance| {
        let is_of_tasks =
            |rule: &Rule| matches!(rule.fault, OfTask::QuotaReached { .. }) && rule.tasks < u32::MAX;
        match circumstance {
            Circumstance::Full { .. } => true,
            Circumstance::Tasks(rule) => is_of_tasks(rule),
            _ => false,
        }
    };
    if circumstances.iter().any(is_scarce) {
        document["queueMinutes"] = QUEUE_MINUTES.into();
    }
    Scenario {
        seed: 0,
        document,
        parameters: parameters(&circumstances),
        quotas: Quotas::default(),
        faults: Faults::chosen(faults),
        circumstances,
        is_clean: true,
        director: Arc::new(Cast { seed: None, life: (mode == RESTARTED).then_some(SHORT_LIFE) }),
    }
}

/// The job of a seed; faults and circumstances, where they are given, in place of those that the seed draws.
pub fn of_seed(seed: u64, faults: Option<Vec<Fault>>, circumstances: Option<Vec<Circumstance>>) -> Scenario {
    let random = Random::seeded(seed);
    let mut document = clean(MODES[random.range(0..MODES.len())]);
    let attempts = random.range(1..=3);
    if document.get("task").is_some() {
        document["attempts"] = attempts.into();
    }
    document["capacity"] = ["spot", "on-demand", "spot-then-on-demand"][random.range(0..3)].into();
    let drawn = match random.range(0..4) {
        0 => Rates { calls: 0, runs: 0, most: 0 },
        1 => Rates { calls: 10, runs: 5, most: 3 },
        2 => Rates { calls: 30, runs: 20, most: 12 },
        _ => Rates { calls: 100, runs: 50, most: 40 },
    };
    let around = Circumstance::drawn(&random);
    document["queueMinutes"] = [0, 0, 30, 120][random.range(0..4)].into();
    let circumstances = circumstances.unwrap_or(around);
    Scenario {
        seed,
        document,
        parameters: parameters(&circumstances),
        quotas: Quotas::default(),
        faults: faults.map_or_else(|| Faults::drawn(seed, drawn), Faults::chosen),
        circumstances,
        is_clean: false,
        director: Arc::new(Cast { seed: Some(seed), life: None }),
    }
}

/// Containers that do what a seed says, or, without one, what they should.
#[derive(Debug)]
struct Cast {
    seed: Option<u64>,
    /// When a service without a seed ends by itself.
    life: Option<Duration>,
}

/// Less than three such lives fit into the five minutes in which three ends are too many.
const SHORT_LIFE: Duration = Duration::from_secs(160);

/// How many files an output has that is a folder: more than an outcome names.
const FOLDER_FILES: u64 = 120;
/// How large an output is that goes up in parts: a few of them, or more than are signed at a time; the first file of a folder is
/// the latter.
const LARGE_BYTES: [u64; 2] = [300 << 20, 15 << 30];
/// How long that takes in a clean job.
const CLEAN_UPLOAD: Duration = Duration::from_mins(1);

/// How long the work of a clean job takes.
const CLEAN_WORK: Duration = Duration::from_mins(2);

impl Cast {
    /// A sequence that depends on nothing but the seed and what is asked about.
    fn random(&self, about: impl Hash) -> Option<Random> {
        let mut hasher = DefaultHasher::new();
        (self.seed?, about).hash(&mut hasher);
        Some(Random::seeded(hasher.finish()))
    }
}

impl Director for Cast {
    fn start_up(&self, task: &str) -> Duration {
        self.random(("start", task)).map_or(Duration::ZERO, |random| Duration::from_secs(random.range(0..30)))
    }

    fn behaviour(&self, _: &str, assignment: &Assignment) -> Behaviour {
        let turn = &assignment.turn;
        let is_large = assignment.outputs.iter().any(|output| output == LARGE_OUTPUT);
        let has_folder = assignment.outputs.iter().any(|output| Pattern::parse(output).is_some());
        let Some(random) = self.random((turn.attempt, turn.start)) else {
            let works = Behaviour { folder_files: FOLDER_FILES, ..Behaviour::success(CLEAN_WORK) };
            return match (is_large, has_folder) {
                (true, _) => works.bringing(LARGE_BYTES[0], CLEAN_UPLOAD),
                (_, true) => works.bringing(LARGE_BYTES[1], Duration::from_secs(1)),
                _ => works,
            };
        };
        let seconds = |from: u64, to: u64| Duration::from_secs(random.range(from..to));
        let works = if is_large {
            let bytes = LARGE_BYTES[random.range(0..LARGE_BYTES.len())];
            Behaviour::success(seconds(1, 60)).bringing(bytes, seconds(1, 600))
        } else {
            let works = Behaviour { folder_files: FOLDER_FILES, ..Behaviour::success(seconds(1, 600)) };
            if has_folder && random.value() { works.bringing(LARGE_BYTES[1], seconds(0, 5)) } else { works }
        };
        let failed = |class| Failure { class, message: "as the seed says".to_owned(), output: None };
        match random.range(0..18) {
            0 => works.failing(Some(1), failed(Class::CommandFailed)),
            1 => works.with(Quirk::Hangs(seconds(0, 300))),
            2 => works.with(Quirk::Dies { moment: Moment::TakenOn, signal: 9, out_of_memory: false }),
            3 => {
                let moment = Moment::After(seconds(1, 300));
                works.with(Quirk::Dies { moment, signal: 9, out_of_memory: random.value() })
            }
            4 => works.with(Quirk::Dies { moment: Moment::Stored, signal: 11, out_of_memory: false }),
            5 => works.with(Quirk::Dies { moment: Moment::Reported, signal: 9, out_of_memory: false }),
            6 => works.with(Quirk::EndsWithoutReport(0)),
            7 => works.with(Quirk::ReportsLate(seconds(1, 400))),
            8 => works.with(Quirk::ReportsTwice(seconds(1, 400))),
            9 => works.with(Quirk::Garbles("{\"job\":".to_owned())),
            10 => works.with(Quirk::IgnoresTerm),
            11 => works.with(Quirk::Forges),
            13 => works.with(Quirk::LosesCompletion),
            12 => works.failing(Some(1), failed(Class::CommandFailed)).with(Quirk::Forges),
            _ => works,
        }
    }

    fn service(&self, task: &str) -> ServiceBehaviour {
        let well = ServiceBehaviour { ends: self.life.map(|life| (life, 1)), ..ServiceBehaviour::default() };
        let Some(random) = self.random(("service", task)) else { return well };
        let seconds = |from: u64, to: u64| Duration::from_secs(random.range(from..to));
        let well = ServiceBehaviour { start_up: seconds(0, 30), resists: seconds(0, 60), ..well };
        match random.range(0..8) {
            0 => ServiceBehaviour { ends: Some((seconds(1, 900), random.range(0..3))), ..well },
            1 => ServiceBehaviour { start_up: seconds(30, 600), ..well },
            2 => ServiceBehaviour { status: 500, check: 1, ..well },
            _ => well,
        }
    }
}
