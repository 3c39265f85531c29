//! The job's uploads in parts, which can have no tags: what the `Jobs` table knows of them.

use aws_sdk_s3::Client;
use mayfly_jobs::Jobs;
use mayfly_lambda::error::Error;
use mayfly_model::inventory::{ENDED, EXISTS, Kind, Resource};
use mayfly_model::tags::Owner;

pub async fn of_job(s3: &Client, jobs: &Jobs, owner: Owner<'_>) -> Result<Vec<Resource>, Error> {
    let record = jobs.get(owner.job).await?;
    let mut found = Vec::new();
    for upload in record.iter().flat_map(|record| &record.uploads) {
        let open = mayfly_s3::open(s3, upload).await?;
        let is_over = |id: &&String| !open.contains(id);
        let over = upload.id.iter().filter(is_over).map(|id| (id, ENDED));
        for (id, state) in open.iter().map(|id| (id, EXISTS)).chain(over) {
            found.push(Resource::new(Kind::Upload, format!("{}?uploadId={id}", upload.to), state));
        }
    }
    Ok(found)
}
