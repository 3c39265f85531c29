//! What was created in the account, as the services themselves have answered it, whoever had the answer. What the account's
//! root creates is no job's, and does not count.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use tokio::time::Instant;

use crate::account::ROOT;
use crate::router;

/// One creation that a service has said it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// `CreateVpc`.
    pub action: String,
    /// What was created.
    pub id: String,
    /// The job that the call itself says it is for, by a tag.
    pub job: Option<String>,
    at: Instant,
    /// Of a queue, how old it was when queues were first listed after that.
    pub listed: Option<Duration>,
}

/// Of each call that creates: what its answer has around the id of what it has created.
const CREATIONS: [(&str, &str, &str); 15] = [
    ("AllocateAddress", "<allocationId>", "</"),
    ("CreateCluster", "\"clusterArn\":\"", "\""),
    ("CreateEgressOnlyInternetGateway", "<egressOnlyInternetGatewayId>", "</"),
    ("CreateInternetGateway", "<internetGatewayId>", "</"),
    ("CreateLoadBalancer", "<LoadBalancerArn>", "</"),
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

/// The tag in a body of JSON, and in a form.
const TAG: [&str; 2] = ["mayfly:job", "mayfly%3Ajob"];
/// How the ids of all jobs begin.
const JOB: &str = "job-";

/// The value of the tag in a body.
fn tagged(body: &str) -> Option<String> {
    let (_, rest) = TAG.iter().find_map(|tag| body.split_once(tag))?;
    let (_, rest) = rest.split_once(JOB)?;
    let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(format!("{JOB}{number}"))
}

/// Sees all answers. Clones share what they have seen.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Vec<Creation>>>);

impl Witness {
    /// What was created so far, in order.
    pub fn creations(&self) -> Vec<Creation> {
        self.lock().clone()
    }

    /// Whom to tell of the answer to this request; nobody, where it creates nothing.
    pub(crate) fn of(&self, request: &Request<Bytes>) -> Option<impl FnOnce(&Response<Bytes>) + use<>> {
        let signed = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if signed.is_some_and(|signed| signed.contains(&format!("Credential={ROOT}/"))) {
            return None;
        }
        let action = router::action(request);
        if action == "ListQueues" {
            for creation in self.lock().iter_mut().filter(|creation| creation.action == "CreateQueue") {
                creation.listed.get_or_insert(creation.at.elapsed());
            }
        }
        let (_, before, after) = CREATIONS.into_iter().find(|(name, ..)| *name == action)?;
        let body = String::from_utf8_lossy(request.body());
        let job = tagged(&body);
        let witness = self.clone();
        Some(move |response: &Response<Bytes>| {
            let body = String::from_utf8_lossy(response.body());
            let id = body.split_once(before).and_then(|(_, rest)| rest.split_once(after));
            if let Some((id, _)) = id.filter(|_| response.status().is_success()) {
                witness.lock().push(Creation {
                    action,
                    id: id.to_owned(),
                    job,
                    at: Instant::now(),
                    listed: None,
                });
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Creation>> {
        self.0.lock().expect("no thread panics while it holds the creations")
    }
}
