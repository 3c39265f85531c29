//! The file tree of a container: its image's files below what it writes, volumes, and what a container engine adds (/dev,
//! /proc, /etc/hosts). Source: OCI runtime specification, "Linux Container Configuration", default filesystems and devices.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

use super::plan::{Bind, Plan};

/// The devices that every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What else is in its /dev.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// What of /proc is the whole machine's, which root could change.
const OF_THE_MACHINE: [&str; 2] = ["sys", "sysrq-trigger"];

const NOTHING: Option<&str> = None;

/// Puts the tree together and makes it the root of this process, which is alone in its mount namespace and the first of its PID
/// namespace.
pub(super) fn enter(plan: &Plan) -> anyhow::Result<()> {
    let root = plan.root.as_path();
    // Nothing that is mounted here is seen outside.
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)
        .context("cannot leave the mounts of others")?;
    lay(plan)?;
    for (at, to) in &plan.links {
        let at = inside(root, at)?;
        if at.symlink_metadata().is_err() {
            symlink(to, &at).with_context(|| format!("cannot make the link {}", at.display()))?;
        }
    }
    for bind in &plan.binds {
        attach(root, bind)?;
    }
    own_proc(root)?;
    own_devices(root)?;
    let working_dir = inside(root, &plan.working_dir)?;
    fs::create_dir_all(&working_dir)
        .with_context(|| format!("cannot make {}", plan.working_dir.display()))?;
    if plan.is_read_only {
        make_read_only(root)?;
    }
    // The new root on top of the old one, which then goes: pivot_root(2), notes.
    chdir(root)?;
    pivot_root(".", ".").context("cannot change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot leave the old root")?;
    chdir("/")?;
    Ok(())
}

/// The image's files below what is written, by overlayfs(5), which an ordinary user may since Linux 5.11; where the kernel or the
/// file system has none of it, a copy of the image is written to.
fn lay(plan: &Plan) -> anyhow::Result<()> {
    let root = plan.root.as_path();
    for folder in [&plan.written, &plan.work, &plan.root] {
        fs::create_dir_all(folder)?;
    }
    let Some(image) = &plan.image else { return bind(&plan.written, root, false) };
    let mut options = OsString::from("userxattr,lowerdir=");
    options.push(escaped(image));
    options.push(",upperdir=");
    options.push(escaped(&plan.written));
    options.push(",workdir=");
    options.push(escaped(&plan.work));
    let laid = mount(Some("overlay"), root, Some("overlay"), MsFlags::empty(), Some(options.as_os_str()));
    if laid.is_ok() {
        return Ok(());
    }
    let copied = Command::new("cp")
        .args(["-a", "--reflink=auto", "--"])
        .args([&image.join("."), &plan.written])
        .status()
        .context("cannot copy the image")?;
    ensure!(copied.success(), "cannot copy the image");
    bind(&plan.written, root, false)
}

/// A path among the options of a mount, with what would end it: kernel documentation, filesystems/overlayfs.
fn escaped(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter().flat_map(|byte| match byte {
        b'\\' | b':' | b',' => vec![b'\\', *byte],
        _ => vec![*byte],
    });
    OsString::from_vec(bytes.collect())
}

fn attach(root: &Path, Bind { from, to, is_read_only }: &Bind) -> anyhow::Result<()> {
    let at = inside(root, to)?;
    let made = if from.is_dir() {
        fs::create_dir_all(&at)
    } else {
        fs::create_dir_all(at.parent().unwrap_or(root))
            .and_then(|()| File::options().create(true).append(true).open(&at).map(drop))
    };
    made.with_context(|| format!("cannot make {}", to.display()))?;
    bind(from, &at, *is_read_only)
}

fn bind(from: &Path, to: &Path, is_read_only: bool) -> anyhow::Result<()> {
    let failed = || format!("cannot mount {} at {}", from.display(), to.display());
    mount(Some(from), to, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING).with_context(failed)?;
    if is_read_only { make_read_only(to) } else { Ok(()) }
}

/// What else the mount forbids must stay forbidden: mount_namespaces(7), "Restrictions on mount namespaces".
fn make_read_only(at: &Path) -> anyhow::Result<()> {
    let found = statvfs(at)?.flags();
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    for (given, flag) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
    ] {
        flags.set(flag, found.contains(given));
    }
    let failed = || format!("cannot make {} read-only", at.display());
    mount(NOTHING, at, NOTHING, flags, NOTHING).with_context(failed)
}

fn own_proc(root: &Path) -> anyhow::Result<()> {
    let at = inside(root, Path::new("/proc"))?;
    fs::create_dir_all(&at)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), &at, Some("proc"), flags, NOTHING).context("cannot mount /proc")?;
    for file in OF_THE_MACHINE.map(|file| at.join(file)).into_iter().filter(|file| file.exists()) {
        bind(&file, &file, true)?;
    }
    Ok(())
}

fn own_devices(root: &Path) -> anyhow::Result<()> {
    let at = inside(root, Path::new("/dev"))?;
    fs::create_dir_all(&at)?;
    let temporary = |at: &Path, options: &str| {
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::MS_NOSUID, Some(options))
            .with_context(|| format!("cannot mount {}", at.display()))
    };
    temporary(&at, "mode=755,size=64k")?;
    for device in DEVICES {
        let (from, to) = (Path::new("/dev").join(device), at.join(device));
        // A machine that is a container itself may have no terminal.
        if !from.exists() {
            continue;
        }
        File::create(&to)?;
        bind(&from, &to, false)?;
    }
    for (name, to) in DEVICE_LINKS {
        symlink(to, at.join(name))?;
    }
    let (shared, terminals) = (at.join("shm"), at.join("pts"));
    fs::create_dir(&shared)?;
    fs::create_dir(&terminals)?;
    temporary(&shared, "mode=1777,size=64m")?;
    fs::set_permissions(&shared, Permissions::from_mode(0o1777))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("devpts"), &terminals, Some("devpts"), flags, Some("newinstance,ptmxmode=0666,mode=0620"))
        .context("cannot mount /dev/pts")
}

/// Where a path of the container is while its root is not yet this process's. A symbolic link of the image on the way leads to
/// where it would lead inside.
pub(super) fn inside(root: &Path, path: &Path) -> anyhow::Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut links = 0;
    let mut open: Vec<OsString> = parts(path);
    let mut at = PathBuf::new();
    while let Some(part) = open.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = root.join(&at).join(&part);
        match fs::read_link(&next) {
            Ok(to) => {
                links += 1;
                ensure!(links <= MOST_LINKS, io::Error::from_raw_os_error(nix::libc::ELOOP));
                if to.is_absolute() {
                    at = PathBuf::new();
                }
                open.extend(parts(&to));
            }
            Err(_) => at.push(part),
        }
    }
    Ok(root.join(at))
}

/// The last first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_the_image_leads_nowhere_outside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        for (at, to) in [("lib", "usr/lib"), ("out", "../../../.."), ("etc", "/usr/etc"), ("loop", "loop")] {
            symlink(to, root.join(at)).unwrap();
        }
        for (path, found) in [
            ("/lib/a", "usr/lib/a"),
            ("/out/tmp", "tmp"),
            ("/etc/hosts", "usr/etc/hosts"),
            ("/../a", "a"),
            ("/new/deep", "new/deep"),
        ] {
            assert_eq!(inside(root, Path::new(path)).unwrap(), root.join(found), "{path}");
        }
        assert!(inside(root, Path::new("/loop/a")).is_err());
    }

    #[test]
    fn a_path_is_one_option_whatever_is_in_it() {
        assert_eq!(escaped(Path::new("/a:b,c\\d")), OsString::from("/a\\:b\\,c\\\\d"));
    }
}
