//! One job on the local cloud, from a test video to the receipt.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use aws_sdk_s3::primitives::ByteStream;
use local_cloud::deploy::DATA_BUCKET;
use local_cloud::{Cloud, Options, ffmpeg};
use local_ecs::Rule;
use mayfly_model::job::{Pattern, S3Uri};
use mayfly_model::outcome::{Delivered, Outcome, Status};
use mayfly_model::visible::visible;
use serde_json::Value;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::STACK;
use crate::visit::visit;

const VIDEO_SECONDS: u32 = 20;

/// Where pictures of the video are, for a job that names this prefix.
const FRAMES: &str = "frames/";

pub async fn run(options: Options, job: &Path, to: &Path) -> Result<ExitCode> {
    // Ctrl-C is for `mayfly run`, which asks what to do; afterwards everything is stopped as always.
    let _interrupts = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let cloud = crate::start(options).await?;
    let outcome = tokio::select! {
        biased;
        outcome = run_on(&cloud, job, to) => outcome,
        _ = terminated.recv() => Err(anyhow::anyhow!("terminated")),
        broken = cloud.broken() => Err(broken),
    };
    crate::stop(cloud, outcome).await
}

async fn run_on(cloud: &Cloud, job: &Path, to: &Path) -> Result<ExitCode> {
    std::fs::create_dir_all(to)?;
    let video = to.join("in.mp4");
    ffmpeg::make_video(&cloud.folder().join("image/bin/ffmpeg"), &video, VIDEO_SECONDS).await?;
    let s3 = cloud.s3();
    s3.put_object()
        .bucket(DATA_BUCKET)
        .key("in.mp4")
        .body(ByteStream::from_path(&video).await?)
        .send()
        .await?;
    eprintln!("Made a test video of {VIDEO_SECONDS} s: s3://{DATA_BUCKET}/in.mp4");

    let text = read(job)?;
    if text.contains(FRAMES) {
        put_frames(cloud, &video).await?;
    }
    eprintln!();
    let stem = job.file_stem().and_then(|stem| stem.to_str()).unwrap_or("job");
    let name: String =
        stem.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let rules = faults(job)?;
    if !rules.is_empty() {
        eprintln!("What goes wrong with it: {}\n", faults_file(job).display());
    }
    cloud.ecs_faults().add(&name, rules);

    let submitted = cloud.folder().join(job.file_name().unwrap_or_default());
    let text = cloud.fill_in(&text, STACK).await?;
    std::fs::write(&submitted, &text)?;
    // What is no document `mayfly run` refuses in words.
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let service = Some(&document["service"]).filter(|service| service.is_object());
    let (status, visited) = submit(cloud, &name, &submitted, service).await?;

    let ended = ended(cloud, &name).await?;
    std::fs::write(to.join("result.json"), serde_json::to_string_pretty(&ended)? + "\n")?;
    eprintln!("\nThe outcome is in {}", to.join("result.json").display());
    let outcome: Outcome =
        serde_json::from_value(ended).context("the outcome is not the document it should be")?;
    let mut places = Vec::new();
    for output in outcome.end.result().iter().flat_map(|result| &result.outputs) {
        places.push(fetch_output(&s3, output, to).await?);
    }
    // Several patterns may be of one folder.
    places.dedup();
    for place in places {
        eprintln!("The output is in  {}", visible(&place.display().to_string()));
    }
    let mut left = cloud.leftovers(&name).await?;
    // No other job is here, and no tag can say whose one is.
    left.extend(cloud.uploads().await?);
    for what in &left {
        eprintln!("left behind: {}", visible(what));
    }
    let succeeded = outcome.end.status() == Status::Succeeded;
    let was_called = service.is_none() || visited == Some(true);
    if succeeded && visited.is_none() && !was_called {
        eprintln!("called   the service was over before it could be");
    }
    let right = status.success() && succeeded && was_called;
    let clean = left.is_empty() && outcome.receipt.residual.is_empty();
    let code = u8::try_from(status.code().unwrap_or(1)).unwrap_or(1);
    Ok(if right && clean { ExitCode::SUCCESS } else { ExitCode::from(code.max(1)) })
}

/// Runs `mayfly run`, and calls the job where it is a service; returns how the one ended and, unless it never came to that,
/// whether the other went well.
async fn submit(
    cloud: &Cloud,
    name: &str,
    document: &Path,
    service: Option<&Value>,
) -> Result<(ExitStatus, Option<bool>)> {
    let mut mayfly = Command::new(cloud.options().programs.join("mayfly"));
    mayfly.args(["run", "--stack", STACK, "--name", name]).arg(document).envs(cloud.environment());
    let mut mayfly = mayfly.kill_on_drop(true).spawn().context("could not start mayfly")?;
    let mut visit = pin!(visit(cloud, name, service.unwrap_or(&Value::Null)));
    let mut visited = None;
    loop {
        tokio::select! {
            biased;
            status = mayfly.wait() => return Ok((status?, visited)),
            called = &mut visit, if service.is_some() && visited.is_none() => {
                if let Err(error) = &called {
                    eprintln!("called   {error:#}");
                }
                visited = Some(called.is_ok());
            }
        }
    }
}

/// What is to go wrong with a job, where anything is.
fn faults(job: &Path) -> Result<Vec<Rule>> {
    let file = faults_file(job);
    if !file.exists() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&read(&file)?).with_context(|| file.display().to_string())
}

/// `job.faults.json`, beside `job.json`.
fn faults_file(job: &Path) -> PathBuf {
    job.with_extension("faults.json")
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// The output of a successful execution, the cause of a failed one.
async fn ended(cloud: &Cloud, name: &str) -> Result<Value> {
    let config = aws_sdk_sfn::config::Builder::from(&cloud.sdk_config())
        .endpoint_url(&cloud.upstream().states)
        .build();
    let arn = format!(
        "arn:aws:states:{}:{}:execution:{STACK}-run-job:{name}",
        local_cloud::REGION,
        local_cloud::ACCOUNT
    );
    let execution =
        aws_sdk_sfn::Client::from_conf(config).describe_execution().execution_arn(arn).send().await?;
    let text = execution.output().or(execution.cause()).unwrap_or("null");
    Ok(serde_json::from_str(text).unwrap_or_else(|_| serde_json::json!({ "cause": text })))
}

/// Puts pictures of the video below a prefix.
async fn put_frames(cloud: &Cloud, video: &Path) -> Result<()> {
    let (s3, folder) = (cloud.s3(), cloud.folder().join("frames"));
    let names = ffmpeg::make_frames(&cloud.folder().join("image/bin/ffmpeg"), video, &folder).await?;
    for name in &names {
        let body = ByteStream::from_path(folder.join(name)).await?;
        s3.put_object().bucket(DATA_BUCKET).key(format!("{FRAMES}{name}")).body(body).send().await?;
    }
    eprintln!("and {} pictures of it: s3://{DATA_BUCKET}/{FRAMES}", names.len());
    Ok(())
}

/// Brings an output into the folder `to`, with all its files where it is many, and tells where it is then.
async fn fetch_output(s3: &aws_sdk_s3::Client, output: &Delivered, to: &Path) -> Result<PathBuf> {
    let uri = S3Uri::parse(&output.to).context("an output is not in S3")?;
    let Some(pattern) = Pattern::parse(&output.file) else {
        let file = to.join(&output.file);
        fetch(s3, &uri, &file).await?;
        return Ok(file);
    };
    let folder = to.join(pattern.folder());
    let pages = s3.list_objects_v2().bucket(uri.bucket).prefix(uri.key).into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await?;
    let keys = pages.iter().flat_map(|page| page.contents()).filter_map(|object| object.key());
    for key in keys {
        let name = key.strip_prefix(uri.key).unwrap_or_default();
        if pattern.names(name) {
            fetch(s3, &S3Uri { bucket: uri.bucket, key }, &folder.join(name)).await?;
        }
    }
    Ok(folder)
}

/// What is zero becomes a hole: an output may be of many gigabytes with next to nothing in it.
async fn fetch(s3: &aws_sdk_s3::Client, uri: &S3Uri<'_>, file: &Path) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut object = s3.get_object().bucket(uri.bucket).key(uri.key).send().await?;
    let mut file = tokio::fs::File::create(file).await?;
    let mut length = 0;
    while let Some(piece) = object.body.try_next().await? {
        length += piece.len() as u64;
        if piece.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Start(length)).await?;
        } else {
            file.write_all(&piece).await?;
        }
    }
    file.flush().await?;
    file.set_len(length).await?;
    Ok(())
}
