//! What is wrong around a job for all of its time, whoever calls: in the capacity, the networks, the load balancers, the
//! events, and a sweep at a bad moment.

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use local_aws::random::Random;
use local_ecs::{Fault as OfTask, Refusal, Rule, SpotStopCode, Stage};
use mayfly_stand_ins::bus::Delivery;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Circumstance {
    /// With the job's tasks.
    Tasks(Rule),
    /// With its network.
    Networks(local_ec2::Fault),
    /// With its load balancer.
    Balancers(local_elb::Fault),
    /// With the events of the account.
    Events(Mishap),
    /// A sweep begins so many seconds after the job.
    Sweep(u64),
    /// Two sweeps begin at once, so many seconds after the job.
    Sweeps(u64),
    /// Somebody has the job torn down while it runs.
    TornDown {
        /// How many seconds after the job.
        after: u64,
        /// How often, all at once.
        times: u8,
    },
    /// Somebody stops the job so many milliseconds after its start, where it still runs.
    Stopped(u64),
    /// Others in the account have all that there may be of something when the job begins.
    Full {
        /// Of what.
        what: Scarce,
        /// When they give it back, in seconds after the job's begin.
        until: u64,
    },
    /// Functions that are none of the stack's run all the time, and leave room for so many.
    Busy(usize),
    /// The functions' clocks are so many milliseconds ahead of AWS's other ones, or behind them.
    Clocks(i32),
    /// A service fails whatever a function asks of it.
    Outage {
        /// As in the scope of signatures, such as `ec2`.
        service: String,
        /// When that begins, in seconds after the job.
        after: u64,
        /// For how many seconds.
        lasts: u64,
    },
    /// So many seconds after the job has begun GuardDuty puts an endpoint and a group into each VPC of the job's.
    GuardDuty(u64),
    /// For so many seconds after the job's begin find-leftovers is of an older version, which did not say whether anything is
    /// left.
    Older(u64),
    /// The stack is deployed anew so many seconds after the job has begun.
    Redeploy(u64),
    /// Somebody else's job goes on at the same time.
    Neighbour {
        /// How many seconds after this one it begins.
        after: u64,
        /// What it is: one of [`crate::draw::MODES`].
        mode: String,
        /// Whether it is another stack's.
        elsewhere: bool,
    },
}

/// What an account has little of (local/ec2/src/quotas.rs has how little).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scarce {
    /// VPCs.
    Vpcs,
    /// Internet gateways.
    InternetGateways,
    /// Elastic IP addresses. There are no more NAT gateways than of these.
    Addresses,
}

/// What becomes of events. "At least once" is all that EventBridge promises (user guide, "What is Amazon EventBridge?"), and
/// of those that AWS services send "best effort" only, to some (the same guide, "Events from AWS services").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mishap {
    /// So many of each thousand never come.
    Lost(u64),
    /// So many of each thousand come twice, the second time this many seconds later.
    Twice(u64, u64),
    /// So many of each thousand come this many seconds late.
    Late(u64, u64),
}

impl Circumstance {
    /// One of each kind: those of a matrix.
    pub fn all() -> Vec<Self> {
        let once = |fault| Self::Tasks(Rule::once(fault));
        let always = |fault| Self::Tasks(Rule::always(fault));
        let after_seconds = 30;
        let mut all = vec![
            once(OfTask::NoCapacity),
            always(OfTask::NoCapacity),
            always(OfTask::QuotaReached { event_name: Refusal::ServiceTaskStartImpaired }),
            once(OfTask::NeverStarts { stage: Stage::Provisioning }),
            always(OfTask::NeverStarts { stage: Stage::Pending }),
            once(OfTask::PullTimesOut),
            always(OfTask::PullDenied),
            once(OfTask::SpotInterruption { after_seconds, stop_code: SpotStopCode::SpotInterruption }),
            always(OfTask::SpotInterruption { after_seconds, stop_code: SpotStopCode::TerminationNotice }),
            once(OfTask::OutOfMemory { after_seconds, exit_code: Some(137) }),
            once(OfTask::Killed { after_seconds }),
            once(OfTask::Maintenance { after_seconds }),
            once(OfTask::Silence { after_seconds }),
            once(OfTask::RoleMissing { times: 2 }),
            once(OfTask::DeploymentsActive { times: 3 }),
            Self::Networks(local_ec2::Fault::Unseen { seconds: 20 }),
            Self::Networks(local_ec2::Fault::Lingers { seconds: 30 }),
            Self::Networks(local_ec2::Fault::InterfaceLingers { seconds: 300 }),
            Self::Balancers(local_elb::Fault::Unseen { seconds: 10 }),
            Self::Balancers(local_elb::Fault::Provisions { seconds: 500 }),
            Self::Balancers(local_elb::Fault::InterfacesLinger { seconds: 300 }),
            Self::Events(Mishap::Lost(1000)),
            Self::Events(Mishap::Twice(1000, 20)),
            Self::Events(Mishap::Late(1000, 3600)),
        ];
        all.extend(
            NAT_FAILURES
                .map(|failure| Self::Networks(local_ec2::Fault::NatFails { failure, after_seconds: 60 })),
        );
        let queued = Rule { tasks: 3, ..Rule::once(OfTask::QuotaReached { event_name: Refusal::default() }) };
        all.push(Self::Tasks(queued));
        all.extend(SCARCE.map(|what| Self::Full { what, until: 1200 }));
        all.extend([3, 5].map(Self::Busy));
        all.extend([-5000, 5000].map(Self::Clocks));
        all.extend(SERVICES.map(|service| Self::outage(service, 10, 240)));
        all.extend(["dynamodb", "sqs", "states"].map(|service| Self::outage(service, 120, 900)));
        all.extend([10, 60, 150].map(Self::GuardDuty));
        all.push(Self::Older(300));
        all.extend([10, 100].map(|after| Self::TornDown { after, times: 2 }));
        all.extend([0, 100].map(Self::Sweeps));
        all.extend([0, 30, 90, 200, 400].map(Self::Sweep));
        all.extend([5, 60, 150].map(Self::Redeploy));
        all.extend(["public", "nat"].map(|mode| Self::neighbour(0, mode, false)));
        all.extend(["public", "ipv6"].map(|mode| Self::neighbour(20, mode, true)));
        all
    }

    fn outage(service: &str, after: u64, lasts: u64) -> Self {
        Self::Outage { service: service.to_owned(), after, lasts }
    }

    fn neighbour(after: u64, mode: &str, elsewhere: bool) -> Self {
        Self::Neighbour { after, mode: mode.to_owned(), elsewhere }
    }

    /// Some of them, as `random` has it, of other lengths.
    pub fn drawn(random: &Random) -> Vec<Self> {
        let count = [0, 0, 1, 1, 2, 3][random.range(0..6)];
        (0..count).map(|_| Self::one(random)).collect()
    }

    fn one(random: &Random) -> Self {
        let seconds = |most: u32| random.range(1..=most);
        let tasks = [1, 1, 2, u32::MAX][random.range(0..4)];
        let rate = [50, 300, 1000][random.range(0..3)];
        let of_tasks = |fault| Self::Tasks(Rule { tasks, ..Rule::once(fault) });
        match random.range(0..44) {
            0 => of_tasks(OfTask::NoCapacity),
            1 => Self::Tasks(Rule {
                tasks,
                capacity_provider: Some("FARGATE_SPOT".to_owned()),
                ..Rule::once(OfTask::NoCapacity)
            }),
            2 => of_tasks(OfTask::QuotaReached { event_name: Refusal::default() }),
            3 => of_tasks(OfTask::NeverStarts { stage: Stage::Provisioning }),
            4 => of_tasks(OfTask::NeverStarts { stage: Stage::Pending }),
            5 => of_tasks(OfTask::PullTimesOut),
            6 => of_tasks(OfTask::PullDenied),
            7 | 8 => {
                let stop_code = SpotStopCode::SpotInterruption;
                of_tasks(OfTask::SpotInterruption { after_seconds: seconds(400), stop_code })
            }
            9 => of_tasks(OfTask::OutOfMemory { after_seconds: seconds(400), exit_code: None }),
            10 => of_tasks(OfTask::Killed { after_seconds: seconds(400) }),
            11 => of_tasks(OfTask::Maintenance { after_seconds: seconds(400) }),
            12 => of_tasks(OfTask::Silence { after_seconds: seconds(400) }),
            13 => of_tasks(OfTask::DeploymentsActive { times: seconds(5) }),
            14 | 15 => Self::Networks(local_ec2::Fault::Unseen { seconds: seconds(20) }),
            16 => Self::Networks(local_ec2::Fault::Lingers { seconds: seconds(60) }),
            17 => Self::Networks(local_ec2::Fault::InterfaceLingers { seconds: seconds(400) }),
            18 => {
                let failure = NAT_FAILURES[random.range(0..NAT_FAILURES.len())];
                Self::Networks(local_ec2::Fault::NatFails { failure, after_seconds: seconds(100) })
            }
            19 => Self::Balancers(local_elb::Fault::Unseen { seconds: seconds(15) }),
            20 => Self::Events(Mishap::Lost(rate)),
            21 => Self::Events(Mishap::Twice(rate, u64::from(seconds(600)))),
            22 => Self::Events(Mishap::Late(rate, u64::from(seconds(3600)))),
            23 => Self::Redeploy(u64::from(seconds(600))),
            24 | 25 => {
                let mode = ["public", "existing", "nat", "ipv6"][random.range(0..4)];
                Self::neighbour(u64::from(seconds(300)), mode, random.value())
            }
            26 | 27 => {
                let what = SCARCE[random.range(0..SCARCE.len())];
                Self::Full { what, until: u64::from(seconds(3600)) }
            }
            28 => Self::Busy(random.range(3..9)),
            29 => Self::Clocks(random.range(-5000..=5000)),
            30 | 31 => {
                let service = SERVICES[random.range(0..SERVICES.len())];
                Self::outage(service, u64::from(seconds(400)), u64::from(seconds(1200)))
            }
            32 | 33 => Self::GuardDuty(u64::from(seconds(300))),
            34 => Self::Older(u64::from(seconds(600))),
            35 => Self::TornDown { after: u64::from(seconds(400)), times: random.range(1..=3) },
            36 => Self::Sweeps(u64::from(seconds(900))),
            37..=39 => Self::Stopped(random.range(0..900_000)),
            _ => Self::Sweep(u64::from(seconds(900))),
        }
    }
}

const SCARCE: [Scarce; 3] = [Scarce::Vpcs, Scarce::InternetGateways, Scarce::Addresses];

/// Those that the functions call, but for S3, which plan-job and nobody else does.
const SERVICES: [&str; 8] =
    ["dynamodb", "ec2", "ecs", "elasticloadbalancing", "logs", "sqs", "states", "sts"];

const NAT_FAILURES: [local_ec2::NatFailure; 2] =
    [local_ec2::NatFailure::InternalError, local_ec2::NatFailure::GatewayNotAttached];

/// Delivers events as the circumstances say.
pub struct Events {
    mishaps: Vec<Mishap>,
    seed: u64,
    count: AtomicU64,
}

impl Debug for Events {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Events").field(&self.mishaps).finish()
    }
}

impl Events {
    /// What these circumstances make of events.
    pub fn new(circumstances: &[Circumstance], seed: u64) -> Self {
        let of_events = |circumstance: &Circumstance| match circumstance {
            Circumstance::Events(mishap) => Some(*mishap),
            _ => None,
        };
        Self { mishaps: circumstances.iter().filter_map(of_events).collect(), seed, count: AtomicU64::new(0) }
    }
}

impl Delivery for Events {
    fn copies(&self, _: &Value) -> Vec<Duration> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let random = Random::seeded(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut copies = vec![Duration::ZERO];
        for mishap in &self.mishaps {
            let (Mishap::Lost(rate) | Mishap::Twice(rate, _) | Mishap::Late(rate, _)) = *mishap;
            if random.range(0..1000) >= rate {
                continue;
            }
            match *mishap {
                Mishap::Lost(_) => copies.clear(),
                Mishap::Twice(_, after) => copies.push(Duration::from_secs(after)),
                Mishap::Late(_, by) => {
                    for late in &mut copies {
                        *late += Duration::from_secs(by);
                    }
                }
            }
        }
        copies
    }
}
