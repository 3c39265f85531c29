//! The service that an event is about, and whose it is.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Service, ServiceField};
use jiff::Timestamp;
use mayfly_lambda::error::Error;
use mayfly_model::tags::Claim;

use crate::event::Event;
use crate::pairs;

/// The ECS service of a job.
#[derive(Debug)]
pub struct ServiceOfJob {
    /// As ECS describes it.
    pub service: Service,
    /// Its name.
    pub name: String,
    /// The job's id.
    pub job: String,
    /// Whether the job is a service itself, and not work.
    pub is_service: bool,
    /// When everything of the job is overdue.
    pub expiry: Option<Timestamp>,
}

/// The service that the event is about; none where it is about none, or not about one of this stack's, or one that is gone
/// with its cluster.
///
/// # Errors
/// As [`Error::aws`].
pub async fn service_of(ecs: &Client, stack: &str, event: &Event) -> Result<Option<ServiceOfJob>, Error> {
    let (Some(cluster), Some(name)) = (event.cluster(), event.service()) else { return Ok(None) };
    if !name.starts_with(&format!("{stack}-")) {
        return Ok(None);
    }
    let describe = ecs.describe_services().cluster(cluster).services(name).include(ServiceField::Tags);
    let described = match describe.send().await {
        Ok(described) => described,
        Err(error) if error.as_service_error().is_some_and(|e| e.is_cluster_not_found_exception()) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::aws("describe the job's service")(error)),
    };
    let Some(service) = described.services.unwrap_or_default().into_iter().next() else { return Ok(None) };
    let found = Claim::read(stack, pairs(service.tags())).map(|claim| {
        let Claim { job, is_service, expiry, .. } = claim;
        (job.to_owned(), is_service, expiry)
    });
    Ok(found.map(|(job, is_service, expiry)| ServiceOfJob {
        service,
        name: name.to_owned(),
        job,
        is_service,
        expiry,
    }))
}
