//! A video becomes smaller, and nothing is left: `events/run-job.json` as it is.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use aws_sdk_sfn::types::ExecutionStatus;
use libtest_mimic::Trial;
use mayfly_model::inventory::Kind;
use mayfly_model::outcome::Status;
use mayfly_model::turn::Provider;
use tokio::process::Command;

use crate::support::harness::Harness;
use crate::support::world::{self, VIDEO_SECONDS, World};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("a_video_is_transcoded_and_nothing_is_left", transcode)]
}

async fn transcode(world: Arc<World>, job: String) -> Result<()> {
    let execution = world.run_job(&job, &world::sample("run-job.json")?).await?;
    assert_eq!(execution.status(), &ExecutionStatus::Succeeded);

    let outcome = world::outcome(&execution)?;
    assert_eq!((outcome.job.as_str(), outcome.end.status()), (job.as_str(), Status::Succeeded));
    assert_eq!(outcome.end.failure(), None);
    let result = outcome.end.result().context("a success has a result")?;
    assert_eq!((result.exit_code, result.attempt, result.capacity), (0, 1, Provider::Spot));
    assert!(result.seconds > 0.0, "{}", result.seconds);

    let [output] = result.outputs.as_slice() else { panic!("one output, not {:?}", result.outputs) };
    assert_eq!((output.file.as_str(), output.to.as_str()), ("out.mp4", "s3://mayfly-data/out.mp4"));
    let video = world.get("out.mp4").await?;
    assert_eq!(video.len() as u64, output.bytes);
    check_video(&world, &job, &video).await?;

    let receipt = outcome.receipt;
    let kinds: Vec<_> = receipt.created.iter().map(|created| created.kind).collect();
    assert_eq!(
        kinds,
        [Kind::Service, Kind::Task, Kind::NetworkInterface, Kind::TaskDefinition, Kind::Queue],
        "{receipt:#?}"
    );
    assert_eq!(receipt.deleted, receipt.created);
    assert_eq!(receipt.residual, []);
    assert!(
        receipt.created.iter().any(|created| created.id == result.task_arn),
        "the task is on the receipt"
    );
    world.nothing_left(&job).await?;

    check_secrets(&world, &job).await
}

/// ffmpeg's own word on codec, width and duration.
async fn check_video(world: &World, job: &str, video: &[u8]) -> Result<()> {
    let path = world.folder().join(format!("{job}.mp4"));
    std::fs::write(&path, video)?;
    let probe = Command::new(world.ffmpeg())
        .arg("-hide_banner")
        .arg("-i")
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .await?;
    let text = String::from_utf8_lossy(&probe.stderr).into_owned();
    let stream = text.lines().find(|line| line.contains("Video: ")).with_context(|| text.clone())?;
    ensure!(stream.contains("Video: h264 ") && stream.contains(" 640x360 "), "{stream}");
    let duration = text.split("Duration: ").nth(1).and_then(|rest| rest.split(',').next());
    let seconds = duration.and_then(seconds).with_context(|| text.clone())?;
    ensure!((seconds - f64::from(VIDEO_SECONDS)).abs() <= 0.1, "{seconds} s");
    Ok(())
}

/// `HH:MM:SS.CC` in seconds.
fn seconds(time: &str) -> Option<f64> {
    time.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

/// The task token and signatures stay out of every log.
async fn check_secrets(world: &World, job: &str) -> Result<()> {
    let record = world.record(job).await?;
    let (container, functions) = (world.container_log(job).await?, world.log("functions", "").await?);
    ensure!(container.iter().any(|line| line.contains("output uploaded")), "the container's log is there");
    ensure!(functions.iter().any(|line| line.contains("job dispatched")), "the functions' logs are there");
    for secret in [&record["token"], &record["nonce"], "X-Amz-Signature", "x-amz-signature"] {
        let found = container.iter().chain(&functions).find(|line| line.contains(secret));
        ensure!(found.is_none(), "a log has {secret}: {found:?}");
    }
    Ok(())
}
