//! Puts this program, and the authorities that it believes, where the job's container finds them, whatever image that has: the
//! first container of a task does so, in volumes that both have.

use std::env;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use tempfile::NamedTempFile;

use crate::trust;

/// The first argument of a process that does so; the second is the folder, and any others are volumes that every user of the job's
/// container may write: by themselves they are root's.
/// Source: ECS developer guide, "Use bind mounts with Amazon ECS".
pub const ARGUMENT: &str = "install";
/// What the program is called there.
const NAME: &str = "mayfly-worker";
/// Where this program's image has the authorities.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Does what the arguments say, where they say so; tells whether they did.
///
/// # Errors
/// Names the folder that cannot be written.
pub fn run_if_asked() -> anyhow::Result<bool> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|argument| argument != ARGUMENT) {
        return Ok(false);
    }
    let folder = arguments.next().context("it is to be installed nowhere: the folder is missing")?;
    let folder = Path::new(&folder);
    let unwritable = |folder: &Path| format!("the worker cannot write its volume at {}", folder.display());
    install(folder).with_context(|| unwritable(folder))?;
    for volume in arguments {
        let volume = Path::new(&volume);
        fs::set_permissions(volume, Permissions::from_mode(0o1777)).with_context(|| unwritable(volume))?;
    }
    Ok(true)
}

fn install(folder: &Path) -> io::Result<()> {
    match File::open(AUTHORITIES) {
        Ok(authorities) => copy(authorities, &folder.join(trust::FILE), 0o644)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    copy(File::open("/proc/self/exe")?, &folder.join(NAME), 0o755)
}

/// Nobody ever sees a part of it.
fn copy(mut from: File, to: &Path, mode: u32) -> io::Result<()> {
    let mut draft = NamedTempFile::new_in(to.parent().unwrap_or(to))?;
    io::copy(&mut from, &mut draft)?;
    fs::set_permissions(draft.path(), Permissions::from_mode(mode))?;
    draft.persist(to).map(drop).map_err(|error| error.error)
}
