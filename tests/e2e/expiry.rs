//! Signed URLs expire for real, and a job that outlives them several times over delivers all the same: as a job of 24
//! hours does, with the clocks shortened.
//!
//! Who enforces what here: MiniStack refuses a GET past its `X-Amz-Expires` ("Request has expired") and a POST past its
//! policy's `expiration` ("Policy expired."), as S3 does; the first test makes sure of both. It also refuses a session
//! that has expired (`ExpiredToken`), but no session of STS is shorter than 15 minutes: that a worker takes this for an
//! expired URL too is tested with a server that says so, in `container/tests/worker/download.rs`.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use mayfly_model::message::{FileSize, News, Order, Upload};
use mayfly_model::names::Names;
use mayfly_model::record;
use reqwest::multipart::Form;

use crate::support::documents::{CONTENT, copy};
use crate::support::harness::Harness;
use crate::support::hasty::{self, HASTY, URL_LIFETIME, no_room_yet};
use crate::support::played::{Played, order, success, text};
use crate::support::world::{World, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_in_turn(
            "a_signed_url_expires_and_a_fresh_one_is_given",
            hasty::reports_needed,
            expires,
        ),
        harness.trial_in_turn("a_job_that_outlives_its_urls_delivers", hasty::reports_needed, outlives),
    ]
}

/// The test asks as a container does, and tries the URLs itself.
async fn expires(world: Arc<World>, job: String, _turn: hasty::Needed) -> Result<()> {
    hasty::deployed(&world).await?;
    let played = Played::begin(&world, HASTY, &job, &copy(&world, &job, "true").await?).await?;
    let mailbox = text(&played.item().await?, record::MAILBOX)?;
    let Order::Run(assignment) = order(&world, &mailbox).await? else { panic!("the first order is the job") };
    let container = played.container(1).await?;
    assert_eq!(assignment.turn, container.turn);
    let first = &assignment.inputs[0].url;
    until_expired("the download to be refused", async || get(first).await).await?;

    let out = FileSize { file: "out.txt".into(), bytes: CONTENT.len() as u64 };
    let wanted = News::UrlsWanted { downloads: vec!["in.txt".into()], uploads: vec![out] };
    let upload = until("fresh URLs to be used in time", async || {
        container.says(wanted.clone()).await?;
        let Order::Urls(mut urls) = order(&world, &mailbox).await? else { panic!("an answer is URLs") };
        let ([download], [upload]) = (&urls.downloads[..], &urls.uploads[..]) else { panic!("one of each") };
        assert_ne!(date(first), date(&download.url));
        let (got, posted) = (get(&download.url).await?, post(upload).await?);
        // On a busy machine they may have expired again.
        if has_expired(&got) || has_expired(&posted) {
            return Ok(None);
        }
        assert_eq!(got, (200, CONTENT.to_owned()));
        assert_eq!(posted.0, 204, "{}", posted.1);
        Ok(urls.uploads.pop())
    })
    .await?;
    until_expired("the upload to be refused", async || post(&upload).await).await?;
    container.says(success(1.0)).await?;
    played.succeeded().await?;
    Ok(())
}

/// The input's URL expires before the container has come, and as much time passes again before there is an output.
async fn outlives(world: Arc<World>, job: String, _turn: hasty::Needed) -> Result<()> {
    hasty::deployed(&world).await?;
    let seconds = URL_LIFETIME.as_secs() + 1;
    let document = copy(&world, &job, &format!("sleep {seconds}; cp in.txt out.txt")).await?;
    let played = Played::begin_with(&world, HASTY, &job, &document, no_room_yet()).await?;
    let result = played.succeeded().await?;
    assert_eq!((result.attempt, result.outputs[0].bytes), (1, CONTENT.len() as u64));
    assert_eq!(String::from_utf8(world.get(&format!("{job}/out.txt")).await?)?, CONTENT);
    assert!(played.count_in_log("urls sent").await? >= 2, "for the input and for the output");
    let log = world.log_of(HASTY, "jobs", &format!("{}/", Names::new(HASTY, &job).base())).await?;
    let has_asked = log.iter().any(|line| line.contains("signature refused, asking for a fresh one"));
    assert!(has_asked, "the worker has met an expired URL: {log:#?}");
    Ok(())
}

/// Asks until it is too late, and no other refusal will do.
async fn until_expired(what: &str, mut ask: impl AsyncFnMut() -> Result<(u16, String)>) -> Result<()> {
    until(what, async || {
        let answer = ask().await?;
        ensure!(answer.0 < 300 || has_expired(&answer), "{}: {}", answer.0, answer.1);
        Ok(has_expired(&answer).then_some(()))
    })
    .await
}

fn has_expired((status, body): &(u16, String)) -> bool {
    *status == 403 && body.contains("expired")
}

async fn get(url: &str) -> Result<(u16, String)> {
    let response = reqwest::get(url).await?;
    Ok((response.status().as_u16(), response.text().await?))
}

async fn post(upload: &Upload) -> Result<(u16, String)> {
    let fields = upload.fields.clone().into_iter();
    let form = fields.fold(Form::new(), |form, (name, value)| form.text(name, value));
    let form = form.text("file", CONTENT);
    let response = reqwest::Client::new().post(&upload.url).multipart(form).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

/// When the URL was signed.
fn date(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "X-Amz-Date").map(|(_, date)| date.into_owned())
}
