//! Folders: `events/run-job.hls.json` writes a ladder of nobody knows how many segments, and the playlist plays;
//! `events/run-job.frames.json` brings all that is below a prefix.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::primitives::ByteStream;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use local_cloud::deploy::DATA_BUCKET;
use local_cloud::ffmpeg;
use mayfly_model::class::Class;
use mayfly_model::message::Listed;
use serde_json::json;
use tokio::process::Command;

use crate::support::course;
use crate::support::harness::Harness;
use crate::support::world::{VIDEO_SECONDS, World};

/// Pictures a second.
const RATE: u32 = 5;

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_ladder_of_unknown_length_is_delivered_and_plays", ladder),
        harness.trial("all_that_is_below_a_prefix_becomes_a_video", frames),
        harness.trial("thousands_of_files_come_and_go_page_by_page", thousands),
        harness.trial("a_key_that_leads_out_of_its_folder_is_refused_at_once", hostile),
        harness.trial("a_name_that_no_key_can_have_is_told_before_anything_is_uploaded", no_key),
    ]
}

async fn ladder(world: Arc<World>, job: String) -> Result<()> {
    let course = course::sample("run-job.hls.json")?.run(&world, &job).await?;
    let [playlists, segments] = course.result()?.outputs.as_slice() else { panic!("{:#?}", course.outcome) };
    assert_eq!((playlists.files, playlists.to.as_str()), (Some(3), "s3://mayfly-data/show/"));
    // Of both patterns the first that names a file takes it.
    assert_eq!(segments.files, Some(2 * u64::from(VIDEO_SECONDS).div_ceil(2)), "{segments:#?}");
    let list = world.get("show.jsonl").await?;
    let list =
        String::from_utf8(list)?.lines().map(serde_json::from_str).collect::<Result<Vec<Listed>, _>>()?;
    assert_eq!(
        Some(list.len() as u64),
        playlists.files.zip(segments.files).map(|(some, others)| some + others)
    );
    for listed in &list {
        let head = world.s3.head_object().bucket(DATA_BUCKET).key(&listed.key).send().await?;
        let (kind, control) = if has_ending(&listed.key, "ts") {
            ("video/mp2t", "max-age=31536000")
        } else {
            ("application/vnd.apple.mpegurl", "max-age=10")
        };
        assert_eq!((head.content_type(), head.cache_control()), (Some(kind), Some(control)), "{listed:?}");
        assert_eq!(head.e_tag().map(|tag| tag.trim_matches('"')), listed.etag.as_deref());
        assert_eq!(head.content_length().and_then(|length| length.try_into().ok()), Some(listed.bytes));
    }
    plays(&world, &job, "show/index.m3u8").await
}

/// Fetches all that the playlist at `key` leads to, and has ffmpeg decode it.
async fn plays(world: &World, job: &str, key: &str) -> Result<()> {
    let folder = world.folder().join(job);
    let mut wanted = vec![key.to_owned()];
    while let Some(key) = wanted.pop() {
        let content = world.get(&key).await?;
        let file = folder.join(&key);
        std::fs::create_dir_all(file.parent().context("it is in a folder")?)?;
        std::fs::write(&file, &content)?;
        if has_ending(&key, "m3u8") {
            let text = String::from_utf8(content)?;
            let (beside, _) = key.rsplit_once('/').context("it is below a prefix")?;
            // RFC 8216, 4.1: what is no comment is a URI.
            let named = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            wanted.extend(named.map(|name| format!("{beside}/{name}")));
        }
    }
    let decoded = decode(world, &folder.join(key), &["-map", "0"]).await?;
    let seconds = decoded.rsplit("time=").next().and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let length = format!("00:00:{VIDEO_SECONDS:02}");
    ensure!(seconds.starts_with(&length), "{seconds} of {length}: {decoded}");
    Ok(())
}

/// What ffmpeg says when it decodes all of a file; an error of any kind is one.
async fn decode(world: &World, file: &Path, options: &[&str]) -> Result<String> {
    let decoded = Command::new(world.ffmpeg())
        .args(["-hide_banner", "-xerror", "-i"])
        .arg(file)
        .args(options)
        .args(["-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&decoded.stderr).into_owned();
    ensure!(decoded.status.success(), "{said}");
    Ok(said)
}

async fn frames(world: Arc<World>, job: String) -> Result<()> {
    let folder = world.folder().join(&job);
    let video = folder.join("in.mp4");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(&video, world.get("in.mp4").await?)?;
    let pictures = folder.join("frames");
    let names = ffmpeg::make_frames(&world.ffmpeg(), &video, &pictures).await?;
    for name in &names {
        world.put(&format!("frames/{name}"), ByteStream::from_path(pictures.join(name)).await?).await?;
    }
    let course = course::sample("run-job.frames.json")?.run(&world, &job).await?;
    // The notes need not be there.
    let [film] = course.result()?.outputs.as_slice() else { panic!("{:#?}", course.outcome) };
    let file = folder.join("film.mp4");
    std::fs::write(&file, world.get("film.mp4").await?)?;
    assert_eq!((film.bytes, film.files), (file.metadata()?.len(), None));
    let decoded = decode(&world, &file, &[]).await?;
    let count = decoded.rsplit("frame=").next().and_then(|rest| rest.split_whitespace().next());
    assert_eq!(count.and_then(|count| count.parse().ok()), Some(names.len()), "{decoded}");
    assert_eq!(names.len(), (VIDEO_SECONDS * RATE) as usize);
    Ok(())
}

async fn thousands(world: Arc<World>, job: String) -> Result<()> {
    // Two pages and a little; some keys are awkward.
    let name = |n: usize| if n.is_multiple_of(100) { format!("a b/ü+%{n}.txt") } else { format!("{n}.txt") };
    let files: BTreeMap<String, String> = (0..2100).map(|n| (name(n), format!("content {n}"))).collect();
    for batch in files.iter().collect::<Vec<_>>().chunks(50) {
        let put = batch.iter().map(async |(name, content)| {
            let body = ByteStream::from(content.as_bytes().to_vec());
            world.put(&format!("{job}/in/{name}"), body).await
        });
        try_join_all(put).await?;
    }
    let task = json!({
        "inputs": [{ "file": "in/", "from": format!("s3://{DATA_BUCKET}/{job}/in/") }],
        "command": ["sh", "-c", "cp -r in/* out/ && ln -s /etc/passwd out/link"],
        "outputs": [{ "file": "out/", "to": format!("s3://{DATA_BUCKET}/{job}/out/") }],
        "outputList": format!("s3://{DATA_BUCKET}/{job}/list.jsonl"),
    });
    world.start_job(&job, &json!({ "task": task })).await?;
    let course = course::of(&world, &job).await?;
    let [out] = course.result()?.outputs.as_slice() else { panic!("{:#?}", course.outcome) };
    let bytes: u64 = files.values().map(|content| content.len() as u64).sum();
    assert_eq!((out.files, out.bytes, out.first.len(), out.more), (Some(2100), bytes, 100, Some(2000)));
    let list = String::from_utf8(world.get(&format!("{job}/list.jsonl")).await?)?;
    assert_eq!(list.lines().count(), files.len());
    for (name, content) in files.iter().step_by(97) {
        assert_eq!(String::from_utf8(world.get(&format!("{job}/out/{name}")).await?)?, *content, "{name}");
    }
    Ok(())
}

async fn hostile(world: Arc<World>, job: String) -> Result<()> {
    for key in ["a/fine", "a/../../../etc/cron.d/x"] {
        world.put(&format!("{job}/{key}"), ByteStream::from_static(b"x")).await?;
    }
    let task = json!({
        "inputs": [{ "file": "in/", "from": format!("s3://{DATA_BUCKET}/{job}/") }],
        "command": ["true"],
    });
    world.start_job(&job, &json!({ "task": task })).await?;
    let course = course::of(&world, &job).await?;
    let failure = course.failure(Class::InputUnavailable, Some(1))?;
    assert_eq!(
        failure.message,
        "the input in/ could not be downloaded: the key that goes on with a/../../../etc/cron.d/x cannot be a file's in a \
         folder: it has a part . or .."
    );
    let log = world.container_log(&job).await?;
    ensure!(!log.iter().any(|line| line.contains("input downloaded")), "{log:#?}");
    Ok(())
}

async fn no_key(world: Arc<World>, job: String) -> Result<()> {
    let script = "for n in 1 2 3; do echo $n >out/$n; done; echo x >\"$(printf 'more/\\377')\"";
    let to = |place: &str| format!("s3://{DATA_BUCKET}/{job}/{place}");
    let task = json!({
        "command": ["sh", "-c", script],
        "outputs": [{ "file": "out/", "to": to("out/") }, { "file": "more/", "to": to("more/") }],
    });
    world.start_job(&job, &json!({ "task": task })).await?;
    let course = course::of(&world, &job).await?;
    let failure = course.failure(Class::UploadFailed, Some(1))?;
    ensure!(failure.message.contains("is no UTF-8"), "{}", failure.message);
    assert_eq!(failure.outputs, []);
    ensure!(
        world.get(&format!("{job}/out/1")).await.is_err(),
        "what came before it in the document was uploaded"
    );
    Ok(())
}

fn has_ending(key: &str, ending: &str) -> bool {
    Path::new(key).extension().is_some_and(|found| found == ending)
}
