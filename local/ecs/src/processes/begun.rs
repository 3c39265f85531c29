//! The local cloud's side of a container that is begun: it says which users there are, and hears what becomes of it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use super::enclosure;
use super::level::Level;
use super::plan::{News, Plan};

/// How many files a process may have open on Fargate: ECS API Reference, `ContainerDefinition$ulimits`.
const OPEN_FILES: (u64, u64) = (65_535, 65_535);

/// A container whose program runs.
#[derive(Debug)]
pub(super) struct Begun {
    /// The process outside, which ends as the container does; it is killed with this.
    pub child: Child,
    /// The first process inside.
    pub first: Pid,
}

impl Begun {
    /// Begins what is planned, with the program `init`.
    ///
    /// # Errors
    /// Why it cannot be begun.
    pub async fn begin(
        init: &Path,
        level: Level,
        plan: &Plan,
        open_files: Option<(u64, u64)>,
        door: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let bytes = plan.bytes()?;
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        theirs.set_nonblocking(false)?;
        let (soft, hard) = open_files.unwrap_or(OPEN_FILES);
        let mut command = Command::new(init);
        command.env_clear().arg(enclosure::ENCLOSE).args([soft, hard].map(|limit| limit.to_string()));
        command.args(door).stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child =
            command.kill_on_drop(true).spawn().with_context(|| format!("cannot run {}", init.display()))?;
        // With the command goes this process's copy of the other end.
        drop(command);
        let outside = child.id().and_then(|id| id.try_into().ok()).context("the process has no id")?;
        let (news, mut orders) = ours.into_split();
        let mut news = BufReader::new(news).lines();
        let mut first = None;
        while let Some(line) = news.next_line().await? {
            match News::parse(&line) {
                Some(News::Unshared) => {
                    let mapped = spawn_blocking(move || level.map_users(Pid::from_raw(outside))).await?;
                    mapped.context("cannot say which users there are")?;
                    orders.write_all(&[0]).await?;
                    orders.write_all(&bytes).await?;
                }
                Some(News::First(process)) => first = Some(Pid::from_raw(process)),
                Some(News::Ready) => {
                    // The two may come in either order.
                    while first.is_none() {
                        let line =
                            news.next_line().await?.context("the container's first process has ended")?;
                        if let Some(News::First(process)) = News::parse(&line) {
                            first = Some(Pid::from_raw(process));
                        }
                    }
                    let first = first.context("the container has no first process")?;
                    return Ok(Self { child, first });
                }
                Some(News::Failed(why)) => bail!(why),
                None => bail!("the container's first process says {line:?}"),
            }
        }
        bail!("the container's first process has ended")
    }
}
