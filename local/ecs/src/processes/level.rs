//! How much of a container this machine lets be made.

use std::fmt::{self, Display, Formatter};
use std::fs::{read_to_string, write};
use std::path::Path;

use nix::unistd::{Pid, getgid, getuid};
use tokio::fs;

use super::begun::Begun;
use super::chore;
use super::plan::Plan;
use super::subordinate;

/// What containers have of their own here. What is missing cannot be tried on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A file tree, a PID namespace, and users: it takes root, or ids that are subordinate to this user's.
    Users,
    /// All but users: each file and each process of a container is one user's, whom its processes see as root.
    OneUser,
    /// Nothing but processes: they have this machine's files.
    Processes,
}

impl Level {
    /// The first that the kernel grants, which is tried out in `folder` with `init`, the program of [`crate::Processes`]. What
    /// containers then do not have is logged.
    pub async fn detect(init: &Path, folder: &Path) -> Self {
        let granted = Self::granted(init, folder).await;
        if granted != Self::Users {
            tracing::warn!("{granted}");
        }
        granted
    }

    async fn granted(init: &Path, folder: &Path) -> Self {
        for level in [Self::Users, Self::OneUser] {
            let tried = folder.join(".tried");
            let outcome = level.tries(init, &tried).await;
            let _ = chore::remove(init, &tried);
            match outcome {
                Ok(()) => return level,
                Err(error) => {
                    tracing::info!(?level, error = format!("{error:#}"), "containers cannot have this");
                }
            }
        }
        Self::Processes
    }

    async fn tries(self, init: &Path, folder: &Path) -> anyhow::Result<()> {
        let image = folder.join("image");
        fs::create_dir_all(&image).await?;
        let plan = Plan {
            image: Some(image),
            written: folder.join("written"),
            work: folder.join("work"),
            root: folder.join("root"),
            binds: Vec::new(),
            links: Vec::new(),
            is_read_only: true,
            host_name: "tried".to_owned(),
            working_dir: "/".into(),
            user: String::new(),
            has_users: self == Self::Users,
            environment: [].into(),
            arguments: Vec::new(),
            has_init: false,
        };
        let mut begun = Begun::begin(init, self, &plan, None, None).await?;
        begun.child.wait().await?;
        Ok(())
    }

    /// Says which users there are in the namespace of `process`: for root all that there are here; else this one, who is root
    /// there, with those that are subordinate to it or alone, as an ordinary user may say: user_namespaces(7), "Defining user and
    /// group ID mappings".
    pub(super) fn map_users(self, process: Pid) -> anyhow::Result<()> {
        let of = |file: &str| format!("/proc/{process}/{file}");
        match self {
            Self::Users if getuid().is_root() => {
                for file in ["uid_map", "gid_map"] {
                    let own = read_to_string(format!("/proc/self/{file}"))?;
                    write(of(file), own.lines().filter_map(to_itself).collect::<String>())?;
                }
            }
            Self::Users => subordinate::map(process)?,
            Self::OneUser | Self::Processes => {
                write(of("setgroups"), "deny")?;
                write(of("uid_map"), format!("0 {} 1", getuid()))?;
                write(of("gid_map"), format!("0 {} 1", getgid()))?;
            }
        }
        Ok(())
    }

    /// Whether a container's files are its own.
    pub(super) fn has_files(self) -> bool {
        self != Self::Processes
    }
}

/// A range of users as they are in this process's namespace.
fn to_itself(range: &str) -> Option<String> {
    let mut words = range.split_whitespace();
    let (first, _, count) = (words.next()?, words.next()?, words.next()?);
    Some(format!("{first} {first} {count}\n"))
}

impl Display for Level {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Users => "containers have file trees and users of their own",
            Self::OneUser => {
                "containers have file trees of their own and one user, who is root inside: more takes the programs newuidmap and \
                 newgidmap, and ids in /etc/subuid and /etc/subgid for this user"
            }
            Self::Processes => {
                "containers are processes with this machine's files, because its kernel refuses them more: see the sysctls \
                 kernel.unprivileged_userns_clone, user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns"
            }
        })
    }
}
