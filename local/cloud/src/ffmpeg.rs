//! ffmpeg for the demonstration and its tests, from the Python package imageio-ffmpeg.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Puts `ffmpeg` into `folder` and returns where it is. It is no symbolic link, because not everybody may reach the
/// package's own folder.
///
/// # Errors
/// When the package is not installed.
pub fn install(tools: &Path, folder: &Path) -> Result<PathBuf> {
    let output = Command::new(tools.join("python"))
        .args(["-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe(), end='')"])
        .output()
        .with_context(|| format!("could not run {}/python; `make tools` installs it", tools.display()))?;
    ensure!(output.status.success(), "no ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    fs::create_dir_all(folder)?;
    let (packaged, installed) = (String::from_utf8(output.stdout)?, folder.join("ffmpeg"));
    // Another file system takes no link.
    fs::hard_link(&packaged, &installed).or_else(|_| fs::copy(&packaged, &installed).map(drop))?;
    Ok(installed)
}

/// Makes pictures of a video, five a second, `0001.png` and so on, in `folder`, and tells their names.
///
/// # Errors
/// With ffmpeg's own words.
pub async fn make_frames(ffmpeg: &Path, video: &Path, folder: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(folder)?;
    let output = tokio::process::Command::new(ffmpeg)
        .args(["-hide_banner", "-loglevel", "error", "-y", "-i"])
        .arg(video)
        .args(["-vf", "fps=5,scale=320:-2"])
        .arg(folder.join("%04d.png"))
        .output()
        .await?;
    ensure!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Makes a test video of `seconds` seconds, 1280 by 720, with a tone.
///
/// # Errors
/// With ffmpeg's own words.
pub async fn make_video(ffmpeg: &Path, to: &Path, seconds: u32) -> Result<()> {
    let output = tokio::process::Command::new(ffmpeg)
        .args(["-hide_banner", "-loglevel", "error", "-y"])
        .args(["-f", "lavfi", "-i", &format!("testsrc2=size=1280x720:rate=25:duration={seconds}")])
        .args(["-f", "lavfi", "-i", &format!("sine=frequency=440:duration={seconds}")])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(to)
        .output()
        .await?;
    ensure!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
