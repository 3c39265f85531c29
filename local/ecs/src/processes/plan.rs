//! What the processes that make a container are told, over the socket that is the first one's standard input.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

/// Larger than any plan; the variables of a container are 32 KB at most on AWS.
const LARGEST: u32 = 4 << 20;

/// A container with a file tree of its own.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Plan {
    /// The image's file tree, which is not written to; none where the image has no files but those below.
    pub image: Option<PathBuf>,
    /// What is written in place of it.
    pub written: PathBuf,
    /// Folders that the kernel needs beside it, and where the tree is put together.
    pub work: PathBuf,
    pub root: PathBuf,
    /// What else is there.
    pub binds: Vec<Bind>,
    /// Symbolic links: where they are, and where they lead.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Whether nothing but the binds can be written.
    pub is_read_only: bool,
    /// What the container is called.
    pub host_name: String,
    /// Where its first process begins; made where it is missing.
    pub working_dir: PathBuf,
    /// Who that is, as in `user`, `user:group`, and with numbers.
    pub user: String,
    /// Whether there is more than one user.
    pub has_users: bool,
    /// All of its variables.
    pub environment: BTreeMap<String, String>,
    /// Its program and that one's arguments; nothing where the container is only tried.
    pub arguments: Vec<String>,
    /// Whether an init process is above it.
    pub has_init: bool,
}

/// A file or a folder of this machine that a container has too.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Bind {
    pub from: PathBuf,
    /// An absolute path in the container.
    pub to: PathBuf,
    pub is_read_only: bool,
}

impl Plan {
    /// Its length, and itself in JSON.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let length = u32::try_from(json.len()).ok().filter(|length| *length <= LARGEST);
        let mut bytes = length.context("the container has too many variables")?.to_be_bytes().to_vec();
        bytes.extend(json);
        Ok(bytes)
    }

    /// Reads no byte more.
    pub fn read(from: &mut impl Read) -> anyhow::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        ensure!(length <= LARGEST, "a plan of {length} bytes");
        let mut json = vec![0; length as usize];
        from.read_exact(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }
}

/// What is told of a container while it is made, a line each.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It has namespaces, and needs to be told which users there are in them.
    Unshared,
    /// The id of its first process.
    First(i32),
    /// That runs its program.
    Ready,
    /// There is no container, for this reason.
    Failed(String),
}

impl News {
    pub fn tell(&self, to: &mut impl Write) -> std::io::Result<()> {
        let line = match self {
            Self::Unshared => "unshared\n".to_owned(),
            Self::First(process) => format!("first {process}\n"),
            Self::Ready => "ready\n".to_owned(),
            Self::Failed(why) => format!("failed {}\n", why.replace('\n', " ")),
        };
        to.write_all(line.as_bytes())
    }

    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end_matches('\n');
        match line.split_once(' ') {
            None if line == "unshared" => Some(Self::Unshared),
            None if line == "ready" => Some(Self::Ready),
            Some(("first", process)) => process.parse().ok().map(Self::First),
            Some(("failed", why)) => Some(Self::Failed(why.to_owned())),
            _ => None,
        }
    }
}
