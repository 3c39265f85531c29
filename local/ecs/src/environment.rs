//! The variables of a task's container.

use std::collections::BTreeMap;

use crate::Ecs;

/// The paths of what the task is served, as on AWS; an id follows.
pub(crate) const METADATA: &str = "/v4/";
pub(crate) const CREDENTIALS: &str = "/v2/credentials/";

/// Where nobody listens: tcpmux, which no machine has had for decades.
const NOWHERE: &str = "http://127.0.0.1:1";

impl Ecs {
    /// All that a task's container finds beside the variables of its image; nothing is inherited. A container that does not
    /// reach SQS has no MiniStack either: its process has this machine's network, which nothing else could keep from it.
    pub(crate) fn environment(
        &self,
        task: &str,
        container: usize,
        secrets: BTreeMap<String, String>,
        reaches_queues: bool,
    ) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
        let state = self.state();
        let Some(task) = state.tasks.get(task) else { return environment };
        // Developer Guide, "Amazon ECS environment variables". The older metadata endpoint, version 3, is not
        // served.
        set("AWS_DEFAULT_REGION", self.upstream.region.clone());
        set("AWS_REGION", self.upstream.region.clone());
        set("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE".into());
        if let Some(id) = &task.containers[container].runtime_id {
            set("ECS_CONTAINER_METADATA_URI_V4", format!("{}{METADATA}{id}", self.agent));
        }
        // On AWS it is the relative URI, of the link-local address 169.254.170.2, which cannot be served
        // here.
        if task.definition.request.task_role_arn.is_some() {
            let uri = format!("{}{CREDENTIALS}{}", self.agent, task.credentials_id);
            set("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
        }
        if let Some(address) = task.interface.as_ref().and_then(|interface| interface.private_ip.as_ref()) {
            set("HOSTNAME", host_name(address, &self.upstream.region));
        }
        // What makes the cloud a local one, and no image can name by chance.
        let ministack = if reaches_queues { self.upstream.ministack.as_str() } else { NOWHERE };
        set("MAYFLY_ENDPOINT_URL", ministack.to_owned());
        if !self.upstream.s3.is_empty() {
            set("MAYFLY_S3_ENDPOINT_URL", self.upstream.s3.clone());
        }

        for variable in &task.definition.request.container_definitions[container].environment {
            set(&variable.name, variable.value.clone());
        }
        environment.extend(secrets);
        environment
    }
}

/// The name that the VPC's resolver has for an address: VPC User Guide, "Amazon DNS server".
fn host_name(address: &str, region: &str) -> String {
    let domain = if region == "us-east-1" { "ec2.internal" } else { &format!("{region}.compute.internal") };
    format!("ip-{}.{domain}", address.replace('.', "-"))
}
