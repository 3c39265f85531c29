//! The jobs of this stack that have resources, by the resources' tags: one search per kind of resource.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    Address, EgressOnlyInternetGateway, InternetGateway, NatGateway, SecurityGroup, Vpc,
};
use jiff::Timestamp;
use mayfly_ec2::find::{self, Described};
use mayfly_jobs::Uploading;
use mayfly_lambda::error::Error;
use mayfly_lambda::search::Search;
use mayfly_model::names::job_id;
use mayfly_model::tags::{self, Claim, Tagged};

use crate::SweepExpired;

/// A job that has resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub id: String,
    /// The ARN of its execution; none where the tag does not name one of this job.
    pub execution: Option<String>,
    /// That of one of its resources; none where the tag cannot be read. A job whose resources differ is found for each.
    pub expiry: Option<Timestamp>,
}

/// Whose a resource is: a job's, or, in words, nobody's, because its tag is no job's id; none where it is not of the stack,
/// or of no job. `run_job_executions` is the ARN of an execution of run-job, up to its name.
pub fn owner(stack: &str, run_job_executions: &str, resource: &Tagged) -> Option<Result<Job, String>> {
    let tags = resource.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let Claim { job: id, execution, expiry, .. } = Claim::read(stack, tags)?;
    if job_id(id) != id {
        return Some(Err(format!(
            "{} has the tag {} with {id:?}, which is no job's id",
            resource.id,
            tags::JOB
        )));
    }
    let names_this = |arn: &&str| {
        let name = arn.strip_prefix(run_job_executions).and_then(|rest| rest.strip_prefix(':'));
        name.is_some_and(|name| job_id(name) == id)
    };
    let execution = execution.filter(names_this).map(str::to_owned);
    Some(Ok(Job { id: id.to_owned(), execution, expiry }))
}

/// What a search comes to.
#[derive(Debug, Default)]
pub struct Found {
    pub jobs: BTreeSet<Job>,
    /// What is of the stack and, by its tag, of no job, in words.
    pub strays: BTreeSet<String>,
    pub failures: Vec<Error>,
}

impl SweepExpired {
    /// Whose all that is that the search has found.
    pub fn owners(&self, Search { found: resources, failures }: Search<Tagged>) -> Found {
        let mut found = Found { failures, ..Found::default() };
        for resource in &resources {
            match owner(&self.stack, &self.run_job_executions, resource) {
                Some(Ok(job)) => _ = found.jobs.insert(job),
                Some(Err(stray)) => _ = found.strays.insert(stray),
                None => {}
            }
        }
        found
    }

    /// What can be left of a job in networks: of its own one, whose VPC cannot go before all else that is in it, and a
    /// service's group in one that is there.
    /// Source: EC2 API Reference, `DeleteVpc`.
    pub async fn networks(&self) -> Search<Tagged> {
        let mut search = Search::default();
        search.add(self.parts::<NatGateway>().await);
        search.add(self.parts::<Address>().await);
        search.add(self.parts::<InternetGateway>().await);
        search.add(self.parts::<EgressOnlyInternetGateway>().await);
        search.add(self.parts::<Vpc>().await);
        search.add(self.parts::<SecurityGroup>().await);
        search
    }

    /// Those of which an upload in parts may not be over.
    pub async fn uploading(&self) -> Result<BTreeSet<Job>, Error> {
        let uploading = self.jobs.uploading().await?.into_iter();
        Ok(uploading.map(|Uploading { job: id, execution, expiry }| Job { id, execution, expiry }).collect())
    }

    async fn parts<T: Described>(&self) -> Result<Vec<Tagged>, Error> {
        let found = find::of_stack::<T>(&self.ec2, &self.stack).await?;
        let left = found.iter().filter(|part| !part.is_gone());
        Ok(left.map(|part| Tagged::new(part.id(), mayfly_ec2::pairs(part.tag_list()))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXECUTIONS: &str = "arn:aws:states:eu-central-1:111122223333:execution:mayfly-run-job";

    fn owner_by(job: &str, execution: &str) -> Option<Result<Job, String>> {
        let tags = [(tags::STACK, "mayfly"), (tags::JOB, job), (tags::EXECUTION, execution)];
        owner("mayfly", EXECUTIONS, &Tagged::new("vpc-1", tags))
    }

    #[test]
    fn a_job_s_execution_is_the_one_that_its_tag_names() {
        let name = "6f0f9b70-6d6c-4b3b-9d8e-0a1b2c3d4e5f_0c7d1c52-3b0e-4f6e-8a53-5d3f1f9a7b21";
        for name in ["my-job", "v1.2.3", "Übung", name] {
            let arn = format!("{EXECUTIONS}:{name}");
            let job = owner_by(&job_id(name), &arn).unwrap().unwrap();
            assert_eq!(job.execution, Some(arn));
        }
    }

    #[test]
    fn a_tag_that_names_another_job_s_execution_names_none() {
        for execution in ["", "mine", &format!("{EXECUTIONS}:other"), &format!("{EXECUTIONS}-2:mine")] {
            assert_eq!(owner_by("mine", execution).unwrap().unwrap().execution, None, "{execution}");
        }
        // An execution with a name that no tag can hold.
        let arn = format!("{EXECUTIONS}:it_s");
        assert_eq!(owner_by(&job_id("it's"), &arn).unwrap().unwrap().execution, None);
    }

    #[test]
    fn a_resource_whose_job_tag_is_no_id_is_told_by_its_own() {
        for no_id in ["", "a b", "v1.2.3", &"j".repeat(65)] {
            let stray = owner_by(no_id, "").unwrap().unwrap_err();
            assert!(stray.starts_with("vpc-1 has the tag mayfly:job with"), "{stray}");
        }
    }
}
