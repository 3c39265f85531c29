//! AbortUploads: the job's uploads in parts that were not completed. They are known from the `Jobs` table alone, and no more are
//! begun once this has looked.

use aws_sdk_s3::Client;
use mayfly_jobs::Jobs;
use mayfly_lambda::error::Error;
use mayfly_lambda::{Clock, Environment, Recipe, Step};
use mayfly_model::teardown::{Deleted, Target};

/// What Lambda calls.
pub static STEP: Recipe = Recipe::of::<AbortUploads>();

/// The step.
pub struct AbortUploads {
    s3: Client,
    jobs: Jobs,
    clock: Clock,
}

impl Step for AbortUploads {
    type Input = Target;
    type Output = Deleted;

    fn new(environment: &Environment) -> Result<Self, String> {
        Ok(Self {
            s3: Client::from_conf(mayfly_s3::config(environment.sdk())),
            jobs: Jobs::new(environment)?,
            clock: environment.clock(),
        })
    }

    #[tracing::instrument(skip_all, fields(job = target.job), err(level = "warn"))]
    async fn run(&self, target: Target) -> Result<Deleted, Error> {
        let Self { s3, jobs, clock } = self;
        if !jobs.tear_down(&target.job).await? {
            return Ok(Deleted { deleted: 0 });
        }
        let Some(record) = jobs.get(&target.job).await? else { return Ok(Deleted { deleted: 0 }) };
        let mut deleted = 0;
        for upload in &record.uploads {
            if upload.is_being_begun(clock.now().as_second()) {
                let doing = format!("abort the upload of {}", upload.to);
                return Err(Error::still_in_use(doing, "a function may be about to begin it"));
            }
            for id in mayfly_s3::open(s3, upload).await? {
                mayfly_s3::abort(s3, upload, &id).await?;
                deleted += 1;
            }
        }
        if !record.uploads.is_empty() {
            jobs.end_uploads(&record).await?;
        }
        Ok(Deleted { deleted })
    }
}
