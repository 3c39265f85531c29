//! What was done in the account, as the services themselves have answered it, whoever had the answer: what was created and
//! what has become of it, what was refused for want of room, and what was touched on whose behalf.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use mayfly_stand_ins::request;
use serde_json::Value;
use tokio::time::Instant;
use url::form_urlencoded;

/// One creation that a service has said it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// `CreateVpc`.
    pub action: String,
    /// What was created.
    pub id: String,
    /// The job that the call itself says it is for, by a tag.
    pub job: Option<String>,
    /// By when the job is over, as the call itself says, by a tag.
    pub expiry: Option<Timestamp>,
    /// When.
    pub at: Instant,
    /// When it was deleted for the first time; a service that needs time for that has begun then.
    pub gone: Option<Instant>,
    /// The function that has deleted it for the first time, by its folder.
    pub gone_by: Option<String>,
    /// How often it was deleted.
    pub deletions: usize,
    /// Of a queue, how old it was when queues were first listed after that.
    pub listed: Option<Duration>,
}

/// That there was no room for one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `CreateVpc`.
    pub action: String,
    /// The job that the call says it is for.
    pub job: Option<String>,
    /// When.
    pub at: Instant,
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What was created, in order.
    pub creations: Vec<Creation>,
    /// What was refused for want of room, in order.
    pub refusals: Vec<Refusal>,
    /// What was touched on behalf of a job whose it is not, in words.
    pub touched: Vec<String>,
    /// Task tokens.
    pub tokens: BTreeSet<String>,
    /// What no job has made, such as what came with a stack, and what is of a job without being created by a call: its
    /// executions and its tokens.
    owned: Vec<Owned>,
    /// Whether the stacks are there, and what is created from now on without a function is a stranger's.
    has_begun: bool,
}

#[derive(Clone, Debug)]
struct Owned {
    action: String,
    id: String,
    job: Option<String>,
}

/// The jobs that a function's input names, and so all that it may do something for. Its requests have this with them.
#[derive(Clone, Debug)]
pub struct OnBehalfOf(BTreeSet<String>);

/// The function that makes a request, by its folder.
#[derive(Clone, Debug)]
pub struct By(pub String);

impl OnBehalfOf {
    /// Those in an input.
    pub fn read(input: &str) -> Self {
        let numbers = input.split(JOB).skip(1);
        let numbers = numbers.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        let is_number = |number: &&str| !number.is_empty();
        Self(numbers.filter(is_number).map(|number| format!("{JOB}{number}")).collect())
    }
}

/// The call that begins an upload in parts, on which no tag can be: the key says whose it is.
pub const UPLOAD: &str = "CreateMultipartUpload";

/// Of each call that creates: what its answer has around the id of what it has created.
const CREATIONS: [(&str, &str, &str); 16] = [
    ("AllocateAddress", "<allocationId>", "</"),
    ("CreateCluster", "\"clusterArn\":\"", "\""),
    ("CreateEgressOnlyInternetGateway", "<egressOnlyInternetGatewayId>", "</"),
    ("CreateInternetGateway", "<internetGatewayId>", "</"),
    ("CreateLoadBalancer", "<LoadBalancerArn>", "</"),
    (UPLOAD, "<UploadId>", "</"),
    ("CreateNatGateway", "<natGatewayId>", "</"),
    ("CreateQueue", "\"QueueUrl\":\"", "\""),
    ("CreateRouteTable", "<routeTableId>", "</"),
    ("CreateSecurityGroup", "<groupId>", "</"),
    ("CreateService", "\"serviceArn\":\"", "\""),
    ("CreateSubnet", "<subnetId>", "</"),
    ("CreateTargetGroup", "<TargetGroupArn>", "</"),
    ("CreateVpc", "<vpcId>", "</"),
    ("CreateVpcEndpoint", "<vpcEndpointId>", "</"),
    ("RegisterTaskDefinition", "\"taskDefinitionArn\":\"", "\""),
];

/// The call by which what another has created goes again, where it is not of the same name.
const UNDONE_BY: [(&str, &str); 4] = [
    ("AllocateAddress", "ReleaseAddress"),
    (UPLOAD, "AbortMultipartUpload"),
    ("CreateVpcEndpoint", "DeleteVpcEndpoints"),
    ("RegisterTaskDefinition", "DeleteTaskDefinitions"),
];

/// How the names of calls begin that change nothing.
const LOOKS: [&str; 4] = ["Describe", "Get", "List", "Receive"];
/// How those of calls begin that change what they name, rather than use it.
const CHANGES: [&str; 8] =
    ["Authorize", "Delete", "Deregister", "Detach", "Disassociate", "Modify", "Release", "Revoke"];
/// EC2's codes for a full quota end so (API reference, "Error codes"), and that for too many calls does as well.
const FULL: &str = "LimitExceeded";
const THROTTLED: &str = "RequestLimitExceeded";

/// The tag that says whose something is.
const TAG: &str = "mayfly:job";
/// How the ids of all jobs begin.
const JOB: &str = "job-";

/// The value of the tag in a body without escapes.
fn tagged(body: &str) -> Option<String> {
    numbered(body.split_once(TAG)?.1)
}

/// The first job that a text names.
fn numbered(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(JOB)?;
    let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(format!("{JOB}{number}"))
}

/// The value of the tag `expiry` in a body without escapes.
fn expiry(body: &str) -> Option<Timestamp> {
    let (_, rest) = body.split_once("expiry")?;
    let begin = rest.find("20")?;
    rest[begin..].get(..20)?.parse().ok()
}

/// The body without the escapes of a form.
fn plain(body: &Bytes) -> String {
    if !body.starts_with(b"Action=") {
        return String::from_utf8_lossy(body).into_owned();
    }
    let values = form_urlencoded::parse(body).map(|(name, value)| format!("{name}={value}"));
    values.collect::<Vec<_>>().join("\n")
}

/// Whether a body names what has this id; of ECS's things it may have the name alone.
fn names(body: &str, id: &str) -> bool {
    let name = id.strip_prefix("arn:aws:ecs:").and_then(|rest| rest.rsplit('/').next());
    body.contains(id) || name.is_some_and(|name| body.contains(&format!("\"{name}\"")))
}

/// Whether `action` takes away what `created` has made.
fn undoes(action: &str, created: &str) -> bool {
    match UNDONE_BY.iter().find(|(name, _)| *name == created) {
        Some((_, undone_by)) => action == *undone_by,
        None => action.strip_prefix("Delete") == created.strip_prefix("Create"),
    }
}

/// Sees all answers. Clones share what they have seen.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Seen>>);

impl Witness {
    /// All that was seen so far.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// What was created so far is no job's, and from now on only what functions create counts.
    pub fn begin(&self) {
        let mut seen = self.lock();
        seen.has_begun = true;
        let created = std::mem::take(&mut seen.creations).into_iter();
        seen.owned.extend(created.map(|Creation { action, id, .. }| Owned { action, id, job: None }));
    }

    /// `id` is the job's, for as long as there is one.
    pub fn owns(&self, job: &str, id: &str) {
        let owned = Owned { action: String::new(), id: id.to_owned(), job: Some(job.to_owned()) };
        self.lock().owned.push(owned);
    }

    /// A function has been given a task token with its input.
    pub(crate) fn given(&self, input: &str) {
        let given: Value = serde_json::from_str(input).unwrap_or_default();
        if let (Some(token), Some(job)) = (given["taskToken"].as_str(), given["plan"]["job"].as_str()) {
            self.owns(job, token);
            self.lock().tokens.insert(token.to_owned());
        }
    }

    /// Whom to tell of the answer to this request; nobody, where it changes nothing.
    pub(crate) fn of(&self, request: &Request<Bytes>) -> Option<impl FnOnce(&Response<Bytes>) + use<>> {
        let by_function = request.extensions().get::<OnBehalfOf>();
        let has_begun = self.lock().has_begun;
        if by_function.is_none() && has_begun {
            return None;
        }
        let action = request::action(request);
        if action == "ListQueues" {
            for creation in
                self.lock().creations.iter_mut().filter(|creation| creation.action == "CreateQueue")
            {
                creation.listed.get_or_insert(creation.at.elapsed());
            }
        }
        if LOOKS.iter().any(|look| action.starts_with(look)) {
            return None;
        }
        let is_of_s3 = request::service(request) == "s3";
        let body = if is_of_s3 { request.uri().to_string() } else { plain(request.body()) };
        if let Some(OnBehalfOf(jobs)) = by_function.filter(|OnBehalfOf(jobs)| has_begun && !jobs.is_empty()) {
            self.lock().touches(jobs, &request::service(request), &action, &body);
        }
        let job = if is_of_s3 { numbered(&body) } else { tagged(&body) };
        let by = request.extensions().get::<By>().cloned();
        let witness = self.clone();
        Some(move |response: &Response<Bytes>| {
            let answer = String::from_utf8_lossy(response.body());
            let mut seen = witness.lock();
            if !response.status().is_success() {
                if answer.contains(FULL) && !answer.contains(THROTTLED) {
                    seen.refusals.push(Refusal { action, job, at: Instant::now() });
                }
                return;
            }
            seen.undone(&action, &body, by.as_ref());
            let around = CREATIONS.into_iter().find(|(name, ..)| *name == action);
            let id = around.and_then(|(_, before, after)| {
                answer.split_once(before).and_then(|(_, rest)| rest.split_once(after))
            });
            if let Some((id, _)) = id {
                seen.creations.push(Creation {
                    action,
                    id: id.to_owned(),
                    job,
                    expiry: expiry(&body),
                    at: Instant::now(),
                    gone: None,
                    gone_by: None,
                    deletions: 0,
                    listed: None,
                });
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no thread panics while it holds what was seen")
    }
}

impl Seen {
    /// Notes what a request names that is none of `jobs`.
    fn touches(&mut self, jobs: &BTreeSet<String>, service: &str, action: &str, body: &str) {
        let created = self.creations.iter().map(|creation| (&creation.action, &creation.id, &creation.job));
        let owned = self.owned.iter().map(|owned| (&owned.action, &owned.id, &owned.job));
        let is_others = |(by, id, job): &(&String, &String, &Option<String>)| {
            let is_changed = match job {
                Some(job) => !jobs.contains(job),
                // A service is deleted in a cluster, which is the stack's.
                None => {
                    CHANGES.iter().any(|change| action.starts_with(change))
                        && (*by != "CreateCluster" || undoes(action, by))
                }
            };
            is_changed && names(body, id)
        };
        let others = created.chain(owned).filter(is_others);
        let mut told: Vec<_> = others
            .map(|(_, id, job)| {
                let whose = job.as_ref().map_or("no job's".to_owned(), |job| format!("{job}'s"));
                format!("{action} for {jobs:?} names {id}, which is {whose}")
            })
            .collect();
        if service == "dynamodb" {
            let body: Value = serde_json::from_str(body).unwrap_or_default();
            let written = ["Key", "Item"].into_iter().find_map(|field| body[field]["job"]["S"].as_str());
            if let Some(written) = written.filter(|written| !jobs.contains(*written)) {
                told.push(format!("{action} for {jobs:?} writes of {written}"));
            }
        }
        self.touched.append(&mut told);
    }

    /// Notes what a call has taken away.
    fn undone(&mut self, action: &str, body: &str, by: Option<&By>) {
        let is_it = |creation: &&mut Creation| undoes(action, &creation.action) && names(body, &creation.id);
        for creation in self.creations.iter_mut().filter(is_it) {
            if creation.gone.is_none() {
                creation.gone = Some(Instant::now());
                creation.gone_by = by.map(|By(function)| function.clone());
            }
            creation.deletions += 1;
        }
    }
}
