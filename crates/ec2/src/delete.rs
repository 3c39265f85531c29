//! Deletes all that a job has of one kind.

use aws_sdk_ec2::Client;
use mayfly_lambda::error::Error;
use mayfly_model::tags::Owner;
use mayfly_model::teardown::Deleted;

use crate::find::Described;
use crate::name_blockers;

/// Tries to delete each of the resources. One that cannot be deleted holds up none of the others: AWS itself may have
/// put it there, and then the right to delete it is missing.
///
/// # Errors
/// As [`most_retryable`], with what is in the job's VPCs where something is still in use.
pub fn delete_each<'a, T, D>(
    ec2: &'a Client,
    owner: Owner<'a>,
    resources: impl IntoIterator<Item = &'a T>,
    delete: impl Fn(&'a T) -> D,
) -> impl Future<Output = Result<Deleted, Error>>
where
    T: Described + 'a,
    D: Future<Output = Result<(), Error>>,
{
    let deletions: Vec<_> = resources.into_iter().map(|resource| (resource.id(), delete(resource))).collect();
    async move {
        let (mut deleted, mut errors) = (0, Vec::new());
        for (id, deletion) in deletions {
            // Boxed, because the compiler gives up on a type as deep as all these futures together.
            match Box::pin(deletion).await {
                Ok(()) => {
                    tracing::info!(id, "resource deleted");
                    deleted += 1;
                }
                Err(error) => {
                    tracing::warn!(id, %error, "resource not deleted");
                    errors.push(error);
                }
            }
        }
        match most_retryable(errors) {
            None => Ok(Deleted { deleted }),
            Some(error) => Err(name_blockers(ec2, owner, error).await),
        }
    }
}

/// The one of several errors that the state machine is told: the first that it tries again, else the first, so that
/// what can be deleted later is not given up for what cannot be deleted at all.
pub fn most_retryable(mut errors: Vec<Error>) -> Option<Error> {
    let is_retried = |error: &Error| matches!(error, Error::StillInUse(_) | Error::Unavailable(_));
    let told = errors.iter().position(is_retried).unwrap_or(0);
    (told < errors.len()).then(|| errors.swap_remove(told))
}

#[cfg(test)]
mod tests {
    use mayfly_lambda::error::Undone;

    use super::*;

    #[test]
    fn what_can_be_deleted_later_is_told_before_what_cannot_be_deleted() {
        let denied = || Error::AccessDenied(Undone::new("do it", "denied"));
        let in_use = |message: &str| Error::StillInUse(message.into());
        let told = |errors| most_retryable(errors).map(|error| error.to_string());
        assert_eq!(told(vec![]), None);
        assert_eq!(told(vec![denied(), in_use("one"), in_use("two")]).as_deref(), Some("one"));
        assert_eq!(
            most_retryable(vec![denied(), Error::internal("do it", "x")]).unwrap().name(),
            "AccessDenied"
        );
    }
}
