//! How much of a container this machine lets be made.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::Path;

use nix::unistd::{Pid, getgid, getuid};
use tokio::fs;

use super::begun::Begun;
use super::plan::Plan;

/// What containers have of their own here. What is missing cannot be tried on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A file tree, a PID namespace, and users: it takes root.
    Users,
    /// All but users: each file and each process of a container is one user's, whom its processes see as root.
    OneUser,
    /// Nothing but processes: they have this machine's files.
    Processes,
}

impl Level {
    /// The first that the kernel grants, which is tried out in `folder` with `init`, the program of [`crate::Processes`].
    pub async fn detect(init: &Path, folder: &Path) -> Self {
        for level in [Self::Users, Self::OneUser] {
            if level == Self::Users && !getuid().is_root() {
                continue;
            }
            let tried = folder.join(".tried");
            let outcome = level.tries(init, &tried).await;
            let _ = fs::remove_dir_all(&tried).await;
            match outcome {
                Ok(()) => return level,
                Err(error) => {
                    tracing::warn!(?level, error = format!("{error:#}"), "containers cannot have this");
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

    /// Says which users there are in the namespace of `process`: all that there are here, or this one, who is root there, and
    /// who may be said by an ordinary user: user_namespaces(7), "Defining user and group ID mappings".
    pub(super) async fn map_users(self, process: Pid) -> io::Result<()> {
        let write = async |file: &str, text: String| fs::write(format!("/proc/{process}/{file}"), text).await;
        if self == Self::Users {
            for file in ["uid_map", "gid_map"] {
                let own = fs::read_to_string(format!("/proc/self/{file}")).await?;
                write(file, own.lines().filter_map(to_itself).collect()).await?;
            }
            return Ok(());
        }
        write("setgroups", "deny".to_owned()).await?;
        write("uid_map", format!("0 {} 1", getuid())).await?;
        write("gid_map", format!("0 {} 1", getgid())).await
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
                "containers have file trees of their own and one user, who is root inside: without root nobody can be given more"
            }
            Self::Processes => {
                "containers are processes with this machine's files, because its kernel refuses them more: see the sysctls \
                 kernel.unprivileged_userns_clone, user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns"
            }
        })
    }
}
