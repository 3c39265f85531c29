//! Task definitions: families of numbered revisions, ACTIVE, then INACTIVE, then DELETE_IN_PROGRESS, then
//! gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use local_aws::auth::Caller;
use local_aws::policy::Context;
use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::pages::page;
use crate::requests::{
    CpuArchitecture, DefinitionStatus, DeleteTaskDefinitions, DeregisterTaskDefinition,
    DescribeTaskDefinition, Include, ListTaskDefinitionFamilies, ListTaskDefinitions, RegisterTaskDefinition,
};
use crate::{Ecs, fargate, seconds, tags};

/// How long a definition that nothing uses stays in DELETE_IN_PROGRESS. AWS gives no number.
const DELETION: Duration = Duration::from_mins(1);

/// What was registered; services and tasks share it, and it outlives the definition's deletion.
#[derive(Debug)]
pub(crate) struct Revision {
    pub arn: String,
    pub number: u64,
    pub request: RegisterTaskDefinition,
}

impl Revision {
    /// The CPU units of a task.
    pub fn cpu_units(&self) -> u32 {
        let units = self.request.cpu.as_ref().and_then(|cpu| cpu.parse().ok());
        units.expect("a definition has been checked to have a cpu")
    }
}

impl Revision {
    /// The processor of a task, as OCI calls it: `RuntimePlatform$cpuArchitecture`, of which the first is the default.
    pub fn architecture(&self) -> &'static str {
        let platform = self.request.runtime_platform.as_ref();
        match platform.and_then(|platform| platform.cpu_architecture) {
            None | Some(CpuArchitecture::X86) => "amd64",
            Some(CpuArchitecture::Arm) => "arm64",
        }
    }
}

/// One revision and where it is in its life.
#[derive(Debug)]
pub(crate) struct Definition {
    revision: Arc<Revision>,
    status: DefinitionStatus,
    registered_at: Timestamp,
    registered_by: String,
    deregistered_at: Option<Timestamp>,
    delete_requested_at: Option<Timestamp>,
}

/// All revisions, and the last revision number of each family: numbers are never used again
/// (`DeleteTaskDefinitions`: a family's next revision goes on counting).
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    revisions: BTreeMap<(String, u64), Definition>,
    last: BTreeMap<String, u64>,
}

impl Definitions {
    /// What `reference` names, in whatever status.
    pub fn revision(&self, reference: &str) -> Option<Arc<Revision>> {
        self.find(reference).map(|definition| definition.revision.clone())
    }

    /// The definition that `reference` names: `family` (the latest ACTIVE one), `family:revision` or an ARN.
    fn find(&self, reference: &str) -> Option<&Definition> {
        let (family, revision) = parse(reference)?;
        match revision {
            Some(revision) => self.revisions.get(&(family.to_owned(), revision)),
            None => self
                .revisions
                .range((family.to_owned(), 0)..=(family.to_owned(), u64::MAX))
                .rev()
                .map(|(_, definition)| definition)
                .find(|definition| definition.status == DefinitionStatus::Active),
        }
    }

    /// The revision for a new service.
    pub fn for_service(&self, reference: &str) -> Result<Arc<Revision>> {
        let definition = self.find(reference).ok_or_else(|| ApiError::client("TaskDefinition not found."))?;
        // `DeregisterTaskDefinition`: an INACTIVE one cannot start new services. AWS may take ten minutes to
        // see to it.
        if definition.status != DefinitionStatus::Active {
            return Err(ApiError::client("TaskDefinition is inactive"));
        }
        Ok(definition.revision.clone())
    }

    fn find_mut(&mut self, reference: &str) -> Option<&mut Definition> {
        let (family, revision) = parse(reference)?;
        self.revisions.get_mut(&(family.to_owned(), revision?))
    }
}

impl Definition {
    fn document(&self) -> Value {
        let mut document = json!(self.revision.request);
        let fields = document.as_object_mut().expect("a request is an object");
        fields.extend(
            [
                ("taskDefinitionArn", json!(self.revision.arn)),
                ("revision", json!(self.revision.number)),
                ("status", json!(self.status)),
                ("compatibilities", json!(["EC2", "FARGATE"])),
                ("placementConstraints", json!([])),
                ("registeredAt", seconds(self.registered_at)),
                ("registeredBy", json!(self.registered_by)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        for (name, time) in
            [("deregisteredAt", self.deregistered_at), ("deleteRequestedAt", self.delete_requested_at)]
        {
            if let Some(time) = time {
                fields.insert(name.to_owned(), seconds(time));
            }
        }
        // ECS fills in what a container definition leaves out: API Reference, the answer in the example of
        // `RegisterTaskDefinition`; the host port, which is the container's on Fargate: `PortMapping$hostPort`.
        for container in fields["containerDefinitions"].as_array_mut().expect("a list").iter_mut() {
            for list in ["volumesFrom", "systemControls"] {
                container[list] = json!([]);
            }
            for mapping in container["portMappings"].as_array_mut().expect("a list").iter_mut() {
                mapping["hostPort"] = mapping["containerPort"].clone();
            }
        }
        document
    }
}

/// `RegisterTaskDefinition`.
pub(crate) async fn register(ecs: &Ecs, caller: &Caller, request: RegisterTaskDefinition) -> Result<Value> {
    // Service Authorization Reference: RegisterTaskDefinition has the task definition as its resource and
    // these keys.
    let resource = ecs.arn(&format!("task-definition/{}:*", request.family));
    let mut context = tags::requested(&request.tags);
    let mut key = |name: &str, values: Vec<String>| context.insert(format!("ecs:{name}"), values);
    key("compute-compatibility", request.requires_compatibilities.clone());
    key("task-cpu", request.cpu.iter().cloned().collect());
    key("task-memory", request.memory.iter().cloned().collect());
    ecs.guard.authorize(caller, "ecs:RegisterTaskDefinition", &resource, &context).await?;
    ecs.allow_tags(caller, "RegisterTaskDefinition", &resource, &request.tags).await?;
    ecs.allow_passing_roles(caller, &request).await?;
    tags::validate(&request.tags)?;
    fargate::validate(&request)?;

    let mut state = ecs.state();
    let last = state.definitions.last.entry(request.family.clone()).or_default();
    *last += 1;
    let number = *last;
    let key = (request.family.clone(), number);
    let arn = ecs.arn(&format!("task-definition/{}:{number}", request.family));
    let definition = Definition {
        revision: Arc::new(Revision { arn, number, request }),
        status: DefinitionStatus::Active,
        registered_at: ecs.now(),
        registered_by: caller.arn.clone(),
        deregistered_at: None,
        delete_requested_at: None,
    };
    let answer = json!({ "taskDefinition": definition.document(), "tags": definition.revision.request.tags });
    state.definitions.revisions.insert(key, definition);
    Ok(answer)
}

/// `DescribeTaskDefinition`, which shows INACTIVE ones too.
pub(crate) async fn describe(ecs: &Ecs, caller: &Caller, request: DescribeTaskDefinition) -> Result<Value> {
    ecs.guard.authorize(caller, "ecs:DescribeTaskDefinition", "*", &Context::new()).await?;
    let state = ecs.state();
    let definition = state.definitions.find(&request.task_definition).ok_or_else(not_found)?;
    let mut answer = json!({ "taskDefinition": definition.document() });
    if request.include.contains(&Include::Tags) {
        answer["tags"] = json!(definition.revision.request.tags);
    }
    Ok(answer)
}

/// `DeregisterTaskDefinition`: INACTIVE, but still there. What runs with it runs on.
pub(crate) async fn deregister(
    ecs: &Ecs,
    caller: &Caller,
    request: DeregisterTaskDefinition,
) -> Result<Value> {
    ecs.guard.authorize(caller, "ecs:DeregisterTaskDefinition", "*", &Context::new()).await?;
    let mut state = ecs.state();
    // `DeregisterTaskDefinition$taskDefinition`: "You must specify a revision".
    match parse(&request.task_definition) {
        Some((_, Some(_))) => {}
        Some((_, None)) => return Err(ApiError::client("Revision is missing.")),
        None => return Err(ApiError::invalid_parameter("Invalid revision number.")),
    }
    let definition = state.definitions.find_mut(&request.task_definition).ok_or_else(not_found)?;
    match definition.status {
        DefinitionStatus::Active => {
            definition.status = DefinitionStatus::Inactive;
            definition.deregistered_at = Some(ecs.now());
        }
        DefinitionStatus::Inactive => {}
        DefinitionStatus::DeleteInProgress => {
            return Err(ApiError::client(
                "The specified task definition is in the process of being deleted.",
            ));
        }
    }
    Ok(json!({ "taskDefinition": definition.document() }))
}

/// `DeleteTaskDefinitions`: each is refused on its own, in `failures`.
pub(crate) async fn delete(ecs: &Ecs, caller: &Caller, request: DeleteTaskDefinitions) -> Result<Value> {
    // `DeleteTaskDefinitions$taskDefinitions`: at most ten.
    if !(1..=10).contains(&request.task_definitions.len()) {
        return Err(ApiError::invalid_parameter("taskDefinitions must have 1 to 10 members"));
    }
    for reference in &request.task_definitions {
        let (resource, context) = {
            let state = ecs.state();
            let found = state.definitions.find(reference);
            let unknown =
                || ecs.arn(&format!("task-definition/{}", reference.rsplit('/').next().unwrap_or_default()));
            (
                found.map_or_else(unknown, |definition| definition.revision.arn.clone()),
                found.map(|definition| tags::owned(&definition.revision.request.tags)).unwrap_or_default(),
            )
        };
        ecs.guard.authorize(caller, "ecs:DeleteTaskDefinitions", &resource, &context).await?;
    }

    let mut state = ecs.state();
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for reference in request.task_definitions {
        let mut fail = |reason: &str| failures.push(json!({ "arn": reference, "reason": reason }));
        match state.definitions.find_mut(&reference) {
            None if parse(&reference).is_none_or(|(_, revision)| revision.is_none()) => fail(
                "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.",
            ),
            None => fail(
                "The specified task definition does not exist. Specify a valid account, family, revision and try again.",
            ),
            Some(definition) if definition.status == DefinitionStatus::Active => fail(
                "The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
            ),
            Some(definition) => {
                if definition.status == DefinitionStatus::Inactive {
                    definition.status = DefinitionStatus::DeleteInProgress;
                    definition.delete_requested_at = Some(ecs.now());
                    ecs.spawn(vanish(ecs.clone(), definition.revision.arn.clone()));
                }
                deleted.push(definition.document());
            }
        }
    }
    Ok(json!({ "taskDefinitions": deleted, "failures": failures }))
}

/// Removes a definition as soon as nothing refers to it: Developer Guide, "Task definition states".
async fn vanish(ecs: Ecs, arn: String) {
    loop {
        ecs.upstream.clock.sleep(DELETION).await;
        let mut state = ecs.state();
        if !state.uses_definition(&arn) {
            state.definitions.revisions.retain(|_, definition| definition.revision.arn != arn);
            return;
        }
    }
}

/// `ListTaskDefinitions`.
pub(crate) async fn list(ecs: &Ecs, caller: &Caller, request: ListTaskDefinitions) -> Result<Value> {
    ecs.guard.authorize(caller, "ecs:ListTaskDefinitions", "*", &Context::new()).await?;
    let status = request.status.unwrap_or(DefinitionStatus::Active);
    // `ListTaskDefinitions$familyPrefix` is, against its name, "the full family name".
    let in_family = |family: &str| request.family_prefix.as_deref().is_none_or(|wanted| wanted == family);
    let state = ecs.state();
    let arns = state
        .definitions
        .revisions
        .values()
        .filter(|definition| definition.status == status && in_family(&definition.revision.request.family))
        .map(|definition| definition.revision.arn.clone())
        .collect();
    page("taskDefinitionArns", arns, request.next_token.as_deref(), request.max_results, 100)
}

/// `ListTaskDefinitionFamilies`.
pub(crate) async fn families(
    ecs: &Ecs,
    caller: &Caller,
    request: ListTaskDefinitionFamilies,
) -> Result<Value> {
    ecs.guard.authorize(caller, "ecs:ListTaskDefinitionFamilies", "*", &Context::new()).await?;
    let prefix = request.family_prefix.unwrap_or_default();
    // "By default, both ACTIVE and INACTIVE task definition families are listed": `status`.
    let listed = |status| matches!(status, DefinitionStatus::Active | DefinitionStatus::Inactive);
    let state = ecs.state();
    let mut families: Vec<String> = state
        .definitions
        .revisions
        .values()
        .filter(|definition| listed(definition.status))
        .map(|definition| &definition.revision)
        .filter(|revision| revision.request.family.starts_with(&prefix))
        .filter_map(|revision| revision.arn.rsplit_once(':').map(|(family, _)| family.to_owned()))
        .collect();
    families.dedup();
    let mut answer = page("families", families, request.next_token.as_deref(), request.max_results, 100)?;
    for family in answer["families"].as_array_mut().into_iter().flatten() {
        *family = family.as_str().and_then(|arn| arn.rsplit('/').next()).into();
    }
    Ok(answer)
}

fn not_found() -> ApiError {
    ApiError::client("Unable to describe task definition.")
}

/// Family and revision of `family`, `family:revision` or an ARN.
fn parse(reference: &str) -> Option<(&str, Option<u64>)> {
    let name = match reference.split_once(":task-definition/") {
        Some((_, name)) => name,
        None if reference.starts_with("arn:") => return None,
        None => reference,
    };
    match name.split_once(':') {
        Some((family, revision)) => Some((family, Some(revision.parse().ok()?))),
        None => Some((name, None)),
    }
}
