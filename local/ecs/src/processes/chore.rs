//! What is done to files that belong to the users of containers, whom the local cloud's own user need not be: by a process that is
//! root of them all, in a user namespace of its own.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use mayfly_worker::tree;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::layers;
use super::level::Level;
use super::plan::News;

/// What a program's first argument is where it is to do one: the [`Chore`] comes by its standard input as soon as it has users,
/// and its standard output is for [`News`].
pub(super) const DO: &str = "be-root-of-users";

#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Chore {
    /// To unpack a layer of this media type onto the tree below `root`, with the owners that it says.
    Unpack { layer: PathBuf, media_type: String, root: PathBuf },
    /// To remove a folder and all that is in it.
    Remove { folder: PathBuf },
}

impl Chore {
    /// Has it done by the program `init`, and returns when it is.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn delegate(&self, init: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(init);
        command.env_clear().arg(DO).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", init.display()))?;
        let process = Pid::from_raw(child.id().try_into()?);
        let told = match (child.stdin.take(), child.stdout.take()) {
            (Some(orders), Some(news)) => self.tell(process, orders, news),
            _ => bail!("{} has no standard input and output", init.display()),
        };
        // It ends now that it hears nothing more.
        child.wait()?;
        told
    }

    fn tell(&self, process: Pid, orders: ChildStdin, news: impl Read) -> anyhow::Result<()> {
        let mut news = BufReader::new(news).lines();
        let mut hear = || match news.next().transpose()?.as_deref().and_then(News::parse) {
            Some(News::Failed(why)) => bail!(why),
            Some(heard) => Ok(heard),
            None => bail!("the process that is root of users has ended"),
        };
        ensure!(hear()? == News::Unshared, "it has no users yet");
        Level::Users.map_users(process)?;
        serde_json::to_writer(&orders, self)?;
        drop(orders);
        ensure!(hear()? == News::Ready, "it is not ready");
        Ok(())
    }

    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Unpack { layer, media_type, root } => {
                let layer = File::open(layer).context("cannot read a layer")?;
                layers::unpack(layer, &media_type, &root, true)
            }
            Self::Remove { folder } => Ok(tree::remove(&folder)?),
        }
    }
}

/// Does what it is told.
pub(super) fn run() -> anyhow::Result<u8> {
    let mut news = io::stdout();
    let told = match do_told(&mut news) {
        Ok(()) => News::Ready,
        Err(error) => News::Failed(format!("{error:#}")),
    };
    told.tell(&mut news)?;
    Ok(0)
}

fn do_told(news: &mut io::Stdout) -> anyhow::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    unshare(CloneFlags::CLONE_NEWUSER).context("the kernel of this machine gives no users")?;
    News::Unshared.tell(news)?;
    let chore: Chore = serde_json::from_reader(io::stdin()).context("nobody says what is to be done")?;
    chore.run()
}

/// Removes a folder that containers have filled.
///
/// # Errors
/// When something in it cannot be removed; what is left stays where it is.
pub fn remove(init: &Path, folder: &Path) -> io::Result<()> {
    match tree::remove(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let chore = Chore::Remove { folder: folder.to_owned() };
            chore.delegate(init).map_err(|why| io::Error::other(format!("{error}; {why:#}")))
        }
        removed => removed,
    }
}
