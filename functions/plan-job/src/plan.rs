//! Makes a plan of a job document.

use jiff::{SignedDuration, Timestamp};
use mayfly_lambda::error::Error;
use mayfly_lambda::{Environment, Randomness};
use mayfly_model::job::{
    Architecture, Capacity, Egress, IMAGES, JobDocument, Limits, Network, NetworkMode, check_size,
};
use mayfly_model::names::{Names, SECRET_LENGTH, STACK_LIMIT};
use mayfly_model::plan::{
    JoinedNetwork, Plan, PlannedContainer, PlannedNetwork, PrivateNetwork, Purpose, TEARDOWN,
};
use mayfly_model::tags::{self, Tags};
use mayfly_model::turn::{SPOT_LOSSES_LIMIT, Turn};
use serde::Deserialize;
use serde::de::IntoDeserializer;

use crate::egress::WayOut;
use crate::image::Image;
use crate::place::Place;
use crate::service::Surroundings;
use crate::{Submission, service};

/// Creating everything, and a container that never comes.
const PROVISIONING: SignedDuration = SignedDuration::from_mins(30);
/// The job's own VPC and its subnets.
const VPC_CIDR: &str = "10.181.0.0/24";
const PUBLIC_CIDR: &str = "10.181.0.0/25";
const PRIVATE_CIDRS: [&str; 2] = ["10.181.0.128/26", "10.181.0.192/26"];
/// Fargate's own disk, which cannot be asked for by name.
/// Source: ECS API Reference, `EphemeralStorage`: 21 to 200.
const FREE_STORAGE_GIB: u32 = 20;

/// What the stack's parameters and resources say.
#[derive(Clone, Debug)]
pub struct Settings {
    pub stack: String,
    pub region: String,
    pub done_queue_url: String,
    pub cluster: String,
    pub subnets: Vec<String>,
    pub security_group: String,
    pub availability_zones: [String; 2],
    pub cpu: u32,
    pub memory_mib: u32,
    pub storage_gib: u32,
    pub capacity: String,
    pub timeout_minutes: u32,
    pub attempts: u32,
    pub heartbeat_seconds: u32,
    pub ipv6_anywhere: bool,
    pub worker_image: String,
    pub architecture: Architecture,
    pub limits: Limits,
}

impl Settings {
    pub fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            stack: environment.setting("STACK_NAME")?,
            region: environment.setting("AWS_REGION")?,
            done_queue_url: environment.setting("DONE_QUEUE_URL")?,
            cluster: environment.setting("CLUSTER_ARN")?,
            subnets: environment.list_setting("SUBNETS")?,
            security_group: environment.setting("SECURITY_GROUP")?,
            availability_zones: environment
                .list_setting("AVAILABILITY_ZONES")?
                .try_into()
                .map_err(|zones| format!("AVAILABILITY_ZONES is {zones:?}, not two zones"))?,
            cpu: environment.setting("DEFAULT_CPU")?,
            memory_mib: environment.setting("DEFAULT_MEMORY")?,
            storage_gib: environment.setting("DEFAULT_STORAGE")?,
            capacity: environment.setting("DEFAULT_CAPACITY")?,
            timeout_minutes: environment.setting("DEFAULT_TIMEOUT_MINUTES")?,
            attempts: environment.setting("DEFAULT_ATTEMPTS")?,
            heartbeat_seconds: environment.setting("HEARTBEAT_SECONDS")?,
            ipv6_anywhere: environment.setting("IPV6_IN_ANY_REGION")?,
            worker_image: environment.setting("WORKER_IMAGE")?,
            architecture: environment.setting("ARCHITECTURE")?,
            limits: Limits {
                buckets: environment.list_setting("DATA_BUCKETS")?,
                prefixes: environment.list_setting("DATA_PREFIXES")?,
                kms_keys: environment.list_setting("DATA_KEYS")?,
                images: environment.list_setting("ALLOWED_IMAGES")?,
                own_image: environment.setting("DEFAULT_IMAGE")?,
                registry: environment.setting("REGISTRY")?,
                subnets: environment.list_setting("EXISTING_SUBNETS")?,
                security_groups: environment.list_setting("EXISTING_SECURITY_GROUPS")?,
                secrets: environment.list_setting("SECRET_ARNS")?,
            },
        })
    }
}

pub fn make(
    settings: &Settings,
    submission: &Submission,
    mut document: JobDocument,
    image: Option<Image>,
    place: Option<Place>,
    randomness: &Randomness,
) -> Result<Plan, Error> {
    check_stack(&settings.stack)?;
    take_from_image(&mut document, image)?;
    let way_out = way_out(settings, &document);
    let container = container(settings, &document, way_out)?;
    let timeout_minutes = document.timeout_minutes.unwrap_or(settings.timeout_minutes);
    let attempts = document.attempts.unwrap_or(settings.attempts);
    let queue = SignedDuration::from_mins(document.queue_minutes.unwrap_or(0).into());
    let timeout_seconds = u64::from(timeout_minutes) * 60;
    // An attempt's wait allows for the container's start besides.
    let attempt =
        SignedDuration::from_secs(i64::from(timeout_minutes) * 60 + i64::from(settings.heartbeat_seconds));
    // A Spot task that is lost uses up no attempt, and may be lost at the very end of one.
    let capacity = document.capacity.map_or_else(|| default_capacity(&settings.capacity), Ok)?;
    let starts = if capacity == Capacity::OnDemand { attempts } else { attempts + SPOT_LOSSES_LIMIT };
    let work = attempt * i32::try_from(starts).unwrap_or(i32::MAX);
    // A service has one life instead.
    let life = document
        .service
        .as_ref()
        .map_or(work, |service| SignedDuration::from_mins(service.ttl_minutes.into()));
    let queue_until = submission.start_time + queue;
    let expiry = queue_until + PROVISIONING + life + TEARDOWN;
    let names = Names::new(&settings.stack, &submission.job);
    let mailbox_name = names.mailbox(&secret(randomness));
    let expiry = in_seconds(expiry);
    let tags = tags(settings, submission, &document, &names, &expiry);
    let has_load_balancer =
        document.service.as_ref().is_some_and(mayfly_model::job::Service::has_load_balancer);
    let groups = document.network.as_ref().and_then(|network| network.security_groups.clone());
    let mut network = network(settings, document.network, has_load_balancer);
    let purpose = match (document.service, document.work) {
        (Some(service), _) => {
            let surroundings = surroundings(&mut network, place);
            Purpose::Service(Box::new(service::plan(service, &names, surroundings)))
        }
        (None, Some(work)) => Purpose::Work(work),
        (None, None) => {
            return Err(Error::internal("read the job document", "it has neither task nor service"));
        }
    };
    let notes = match &purpose {
        Purpose::Service(service) => service::notes(service, &groups.unwrap_or_default()),
        Purpose::Work(_) => Vec::new(),
    };
    Ok(Plan {
        tags,
        mailbox_url: mailbox_url(&settings.done_queue_url, &mailbox_name)?,
        mailbox_name,
        family: names.family(),
        log_prefix: names.base(),
        teardown_name: names.teardown(),
        network,
        queue_until: in_seconds(queue_until),
        container,
        capacity,
        first_turn: Turn::first(capacity.first_provider()),
        purpose,
        notes,
        timeout_seconds,
        heartbeat_seconds: settings.heartbeat_seconds.into(),
        attempts,
        expiry,
        job: submission.job.clone(),
        execution: submission.execution.clone(),
    })
}

/// The image of a job's work, and the processor that it has to run on.
pub fn image<'a>(settings: &'a Settings, document: &'a JobDocument) -> Option<(&'a str, Architecture)> {
    document.work.as_ref()?;
    let container = document.container.as_ref();
    let image =
        container.and_then(|container| container.image.as_deref()).unwrap_or(&settings.limits.own_image);
    let architecture =
        container.and_then(|container| container.architecture).unwrap_or(settings.architecture);
    Some((image, architecture))
}

/// Puts what the image runs, and as whom, where the document says nothing of it.
fn take_from_image(document: &mut JobDocument, image: Option<Image>) -> Result<(), Error> {
    let Some(work) = &mut document.work else { return Ok(()) };
    let container = document.container.get_or_insert_default();
    let is_read = image.is_some();
    let image = image.unwrap_or_default();
    if work.command.is_empty() {
        work.command = image.command();
        container.working_directory.get_or_insert_with(|| IMAGES.to_owned());
    }
    if work.command.is_empty() {
        let why = if is_read {
            "and the image has neither ENTRYPOINT nor CMD"
        } else {
            "and what an image runs by itself is known of those in the account's own registry alone"
        };
        return Err(Error::InvalidJob(format!(
            "task.command: missing, {why}; say a program and its arguments"
        )));
    }
    container.user = container.user.take().or_else(|| image.user());
    Ok(())
}

fn check_stack(stack: &str) -> Result<(), Error> {
    if stack.len() <= STACK_LIMIT {
        return Ok(());
    }
    Err(Error::internal(
        "name the job's mailbox",
        format!(
            "the stack's name {stack} is longer than {STACK_LIMIT} characters; deploy it under a shorter one"
        ),
    ))
}

fn container(
    settings: &Settings,
    document: &JobDocument,
    way_out: Option<WayOut<'_>>,
) -> Result<PlannedContainer, Error> {
    let given = document.container.clone().unwrap_or_default();
    let cpu = given.cpu.unwrap_or(settings.cpu);
    let memory_mib = given.memory_mib.unwrap_or(settings.memory_mib);
    check_size(cpu, memory_mib).map_err(Error::InvalidJob)?;
    let own_image = &settings.limits.own_image;
    let mut image = given.image.unwrap_or_else(|| own_image.clone());
    let mut worker_image = document.work.as_ref().map(|_| settings.worker_image.clone());
    if let Some(way_out) = way_out {
        let inputs = document.work.as_ref().map_or(&[][..], |work| &work.inputs);
        way_out.check(
            &image,
            inputs,
            &given.secrets,
            &format!("the registry {}", settings.limits.registry),
        )?;
        image = way_out.image(image);
        worker_image = worker_image.map(|image| way_out.image(image));
    }
    Ok(PlannedContainer {
        image,
        worker_image,
        cpu,
        memory_mib,
        storage_gib: Some(given.storage_gib.unwrap_or(settings.storage_gib))
            .filter(|gib| *gib > FREE_STORAGE_GIB),
        environment: given.environment,
        secrets: given.secrets,
        architecture: given.architecture.unwrap_or(settings.architecture),
        user: given.user,
        working_directory: given.working_directory,
        read_only: given.read_only.unwrap_or(false),
        stop_timeout: given.stop_timeout,
        ulimits: given.ulimits,
        repository_credentials: given.repository_credentials,
    })
}

/// The stack's own network or one that the job names; or the one that is made for the job alone.
fn network(settings: &Settings, network: Option<Network>, has_load_balancer: bool) -> PlannedNetwork {
    let stacks_own = JoinedNetwork {
        cluster: settings.cluster.clone(),
        subnets: settings.subnets.clone(),
        security_groups: vec![settings.security_group.clone()],
        assign_public_ip: true,
        vpc_id: None,
    };
    let Some(network) = network else { return PlannedNetwork::Joined(stacks_own) };
    match network.mode {
        NetworkMode::Public => PlannedNetwork::Joined(stacks_own),
        NetworkMode::Existing => PlannedNetwork::Joined(JoinedNetwork {
            subnets: network.subnets.unwrap_or_default(),
            security_groups: network.security_groups.unwrap_or_default(),
            assign_public_ip: network.assign_public_ip.unwrap_or(false),
            ..stacks_own
        }),
        NetworkMode::Private => private_network(settings, network, has_load_balancer),
    }
}

/// The network that is made for the job alone, with a public subnet where a load balancer needs one.
fn private_network(settings: &Settings, network: Network, has_load_balancer: bool) -> PlannedNetwork {
    let egress = network.egress.unwrap_or(Egress::Nat);
    let is_public = match egress {
        Egress::Nat => true,
        Egress::Endpoints => has_load_balancer,
        Egress::Ipv6 => false,
    };
    let [first_cidr, second_cidr] = PRIVATE_CIDRS.map(str::to_owned);
    let [first_zone, second_zone] = settings.availability_zones.clone();
    PlannedNetwork::Private(PrivateNetwork {
        egress,
        vpc_cidr: VPC_CIDR.into(),
        public_cidr: is_public.then(|| PUBLIC_CIDR.into()),
        private_cidr: (egress != Egress::Ipv6).then_some(first_cidr),
        second_private_cidr: (egress == Egress::Nat).then_some(second_cidr),
        availability_zone: first_zone,
        second_availability_zone: (egress != Egress::Endpoints).then_some(second_zone),
        egress_ports: network.egress_ports.unwrap_or_else(|| vec![443]),
    })
}

/// How the container of a job with a network of its own reaches what is outside.
fn way_out<'a>(settings: &'a Settings, document: &JobDocument) -> Option<WayOut<'a>> {
    let network = document.network.as_ref().filter(|network| network.mode == NetworkMode::Private)?;
    Some(WayOut {
        egress: network.egress.unwrap_or(Egress::Nat),
        region: &settings.region,
        ipv6_anywhere: settings.ipv6_anywhere,
    })
}

/// The subnets that a service joins; none where it has a network of its own.
pub fn joined_subnets<'a>(settings: &'a Settings, document: &'a JobDocument) -> Option<&'a [String]> {
    let network = document.network.as_ref();
    match network.map_or(NetworkMode::Public, |network| network.mode) {
        NetworkMode::Public => Some(&settings.subnets),
        NetworkMode::Existing => network.and_then(|network| network.subnets.as_deref()),
        NetworkMode::Private => None,
    }
}

/// Where a service is in its network. One that is made for it has one public subnet, and a load balancer sends nothing to
/// another zone than its own, whatever that is set to.
/// Source: Network Load Balancers guide, "Target groups", target health reason `Target.NotInUse`.
fn surroundings(network: &mut PlannedNetwork, place: Option<Place>) -> Surroundings {
    match (network, place) {
        (PlannedNetwork::Joined(joined), Some(Place { vpc_id, cidrs, is_public })) => {
            joined.vpc_id = Some(vpc_id);
            let subnets = joined.subnets.clone();
            Surroundings { internet_facing: is_public, subnets, target_cidrs: cidrs }
        }
        (PlannedNetwork::Private(private), _) => Surroundings {
            internet_facing: true,
            subnets: Vec::new(),
            target_cidrs: private.private_cidr.clone().into_iter().collect(),
        },
        (PlannedNetwork::Joined(_), None) => Surroundings::default(),
    }
}

fn default_capacity(name: &str) -> Result<Capacity, Error> {
    Capacity::deserialize(name.into_deserializer()).map_err(|error: serde::de::value::Error| {
        Error::internal("read the stack's parameter DefaultCapacity", error)
    })
}

/// The console of EC2 shows the tag `Name`, unless the job has one of its own. A name of an execution may have characters
/// that no tag can hold; who reads the tag compares the id.
fn tags(
    settings: &Settings,
    submission: &Submission,
    document: &JobDocument,
    names: &Names,
    expiry: &str,
) -> Tags {
    let name = [("Name".to_owned(), names.base())];
    let execution: String =
        submission.execution.chars().map(|c| if tags::is_of_value(c) { c } else { '_' }).collect();
    let own = [
        (tags::STACK, settings.stack.as_str()),
        (tags::JOB, &submission.job),
        (tags::EXECUTION, &execution),
        (tags::EXPIRY, expiry),
        (tags::USER, document.user.as_deref().unwrap_or("unknown")),
    ];
    let purpose = document.service.as_ref().map(|_| (tags::PURPOSE, tags::SERVICE));
    let own = own.into_iter().chain(purpose).map(|(key, value)| (key.to_owned(), value.to_owned()));
    name.into_iter().chain(document.tags.clone()).chain(own).collect()
}

fn in_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// 128 random bits: whoever can guess the mailbox's name can read the job's mail.
fn secret(randomness: &Randomness) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    randomness
        .bytes::<SECRET_LENGTH>()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .iter()
        .collect()
}

/// Queues of one account and Region differ only in the last part of their URL.
fn mailbox_url(done_queue_url: &str, mailbox: &str) -> Result<String, Error> {
    let (base, _) = done_queue_url
        .rsplit_once('/')
        .ok_or_else(|| Error::internal("read DONE_QUEUE_URL", format!("{done_queue_url} has no path")))?;
    Ok(format!("{base}/{mailbox}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_has_the_name_that_its_random_bytes_say() {
        let count = |bytes: &mut [u8]| bytes.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        assert_eq!(secret(&Randomness::new(count)), "abcdefghijklmnopqrstuvwxyz");
        assert_eq!(secret(&Randomness::new(|bytes| bytes.fill(255))), "7".repeat(SECRET_LENGTH));
        assert_ne!(secret(&Randomness::default()), secret(&Randomness::default()));
    }
}
