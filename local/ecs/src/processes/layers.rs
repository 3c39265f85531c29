//! Unpacks the layers of an image into one file tree. Source: OCI image specification, layer.md. That Fargate takes those of zstd:
//! AWS Containers Blog, "Reducing AWS Fargate Startup Times with zstd Compressed Container Images", October 2022.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tar::{Archive, Entry, EntryType};

use super::container::if_there;
use super::root::inside;

/// What the names begin with of what a layer takes away.
const WHITEOUT: &[u8] = b".wh.";
/// What takes all away that lower layers have in its folder.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Unpacks a layer of this media type onto the tree below `root`, with the owners that it says, where there are any but one.
pub(super) fn unpack(layer: File, media_type: &str, root: &Path, has_owners: bool) -> anyhow::Result<()> {
    let compression = media_type.rsplit(['.', '+']).next().unwrap_or_default();
    let content: Box<dyn Read> = match compression {
        "gzip" => Box::new(MultiGzDecoder::new(io::BufReader::new(layer))),
        "zstd" => Box::new(zstd::Decoder::new(layer)?),
        "tar" => Box::new(io::BufReader::new(layer)),
        _ => bail!("a layer is a {media_type}, which is not one of gzip, zstd or tar"),
    };
    let mut tree = Tree { root, has_owners, made: HashSet::new() };
    let mut archive = Archive::new(content);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        tree.add(&name, &mut entry).with_context(|| format!("cannot unpack {}", name.display()))?;
    }
    Ok(())
}

struct Tree<'a> {
    root: &'a Path,
    has_owners: bool,
    /// What this layer has made, which it does not take away.
    made: HashSet<PathBuf>,
}

impl Tree<'_> {
    fn add(&mut self, name: &Path, entry: &mut Entry<impl Read>) -> anyhow::Result<()> {
        // The root itself has no name.
        let Some(file_name) = plain(name)?.file_name().map(OsStr::to_owned) else { return Ok(()) };
        let folder = self.folder(name)?;
        let place = folder.join(&file_name);
        if file_name.as_bytes() == OPAQUE {
            return self.empty(&folder);
        }
        if let Some(taken) = file_name.as_bytes().strip_prefix(WHITEOUT) {
            return Ok(remove(&folder.join(OsStr::from_bytes(taken)))?);
        }
        let kind = entry.header().entry_type();
        if !(kind.is_dir() && place.symlink_metadata().is_ok_and(|found| found.is_dir())) {
            remove(&place)?;
        }
        self.make(&place, kind, entry)?;
        self.made.insert(place);
        Ok(())
    }

    fn make(&self, place: &Path, kind: EntryType, entry: &mut Entry<impl Read>) -> anyhow::Result<()> {
        let target = || -> anyhow::Result<PathBuf> {
            Ok(entry.link_name()?.context("a link that leads nowhere")?.into_owned())
        };
        match kind {
            EntryType::Directory => fs::create_dir_all(place)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                io::copy(entry, &mut File::create_new(place)?)?;
            }
            // It leads wherever it says, in the container.
            EntryType::Symlink => symlink(target()?, place)?,
            EntryType::Link => {
                let to = target()?;
                let name = to.file_name().context("a hard link to no file")?;
                fs::hard_link(self.folder(&to)?.join(name), place)?;
                return Ok(());
            }
            EntryType::Fifo => mkfifo(place, Mode::S_IRWXU)?,
            // A container has devices of its own, and can make none.
            EntryType::Block | EntryType::Char => return Ok(()),
            other => bail!("it is of a kind that layers do not have: {other:?}"),
        }
        let header = entry.header();
        if self.has_owners {
            let number = |id: u64| u32::try_from(id).context("an owner has too large a number");
            let (uid, gid) = (number(header.uid()?)?, number(header.gid()?)?);
            lchown(place, Some(uid), Some(gid)).with_context(|| {
                format!("this machine has no user {uid}:{gid} for it: see /etc/subuid and /etc/subgid")
            })?;
        }
        if kind == EntryType::Symlink {
            return Ok(());
        }
        // Whoever is the only user may go on writing, and remove it in the end.
        let own = if kind.is_dir() && !self.has_owners { 0o700 } else { 0 };
        fs::set_permissions(place, Permissions::from_mode(header.mode()? & 0o7777 | own))?;
        if kind.is_file() {
            let modified = UNIX_EPOCH + Duration::from_secs(header.mtime()?);
            File::open(place).and_then(|file| file.set_modified(modified)).or_else(|error| {
                // Its owner alone may say when it was written, and may not read it.
                if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) }
            })?;
        }
        Ok(())
    }

    /// The folder that an entry is in, made where it is missing; links on the way lead to where they would in a container.
    fn folder(&self, name: &Path) -> anyhow::Result<PathBuf> {
        let parent = plain(name)?.parent().map(Path::to_owned).unwrap_or_default();
        let folder = inside(self.root, &parent)?;
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn empty(&self, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder)? {
            let place = entry?.path();
            if !self.made.iter().any(|made| made.starts_with(&place)) {
                remove(&place)?;
            }
        }
        Ok(())
    }
}

/// A name without what means nothing; one that would lead out is refused.
fn plain(name: &Path) -> anyhow::Result<PathBuf> {
    ensure!(!name.components().any(|part| part == Component::ParentDir), "it leads out of the image");
    Ok(name.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}

/// Removes whatever is there.
fn remove(place: &Path) -> io::Result<()> {
    if_there(match place.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(place),
        Ok(_) => fs::remove_file(place),
        Err(error) => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use tar::{Builder, Header};

    use super::*;

    /// A layer of entries: their kind, name, mode, and content or target.
    fn layer(entries: &[(EntryType, &str, u32, &str)]) -> File {
        let mut builder = Builder::new(Vec::new());
        for (kind, name, mode, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_mtime(1);
            header.set_uid(0);
            header.set_gid(0);
            // As no archive of a kind's own makes it, but as an enemy would.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
                header.set_size(0);
                header.set_cksum();
                builder.append(&header, io::empty()).unwrap();
            } else {
                header.set_size(content.len() as u64);
                header.set_cksum();
                builder.append(&header, content.as_bytes()).unwrap();
            }
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&builder.into_inner().unwrap()).unwrap();
        file.rewind().unwrap();
        file
    }

    const DIR: EntryType = EntryType::Directory;
    const FILE: EntryType = EntryType::Regular;
    const LINK: EntryType = EntryType::Symlink;
    const HARD: EntryType = EntryType::Link;
    const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

    fn unpacked(layers: &[&[(EntryType, &str, u32, &str)]]) -> (tempfile::TempDir, anyhow::Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let outcome = layers.iter().try_for_each(|entries| unpack(layer(entries), TAR, &root, false));
        (folder, outcome)
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> Option<String> {
        fs::read_to_string(folder.path().join("root").join(name)).ok()
    }

    #[test]
    fn what_a_layer_takes_away_is_gone_and_what_it_brings_is_there() {
        let lower: &[_] = &[
            (DIR, "a/", 0o755, ""),
            (FILE, "a/kept", 0o644, "kept"),
            (FILE, "a/gone", 0o644, "gone"),
            (DIR, "b/", 0o755, ""),
            (FILE, "b/old", 0o644, "old"),
            (FILE, "c", 0o644, "a file"),
        ];
        let upper: &[_] = &[
            (FILE, "a/.wh.gone", 0o644, ""),
            (FILE, "b/new", 0o755, "new"),
            (FILE, "b/.wh..wh..opq", 0o644, ""),
            (DIR, "c/", 0o755, ""),
            (FILE, "c/d", 0o644, "d"),
            (HARD, "e", 0o644, "a/kept"),
        ];
        let (folder, outcome) = unpacked(&[lower, upper]);
        outcome.unwrap();
        let found = ["a/kept", "a/gone", "b/old", "b/new", "c/d", "e"].map(|name| read(&folder, name));
        let expected = [Some("kept"), None, None, Some("new"), Some("d"), Some("kept")];
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
        let mode = folder.path().join("root/b/new").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    #[test]
    fn nothing_is_written_outside_the_image() {
        for entries in [
            [(LINK, "out", 0o777, "../.."), (FILE, "out/escaped", 0o644, "x")],
            [(LINK, "out", 0o777, "/tmp/.."), (FILE, "out/escaped", 0o644, "x")],
            [(LINK, "escaped", 0o777, "../escaped"), (FILE, "escaped", 0o644, "x")],
        ] {
            let (folder, outcome) = unpacked(&[&entries]);
            outcome.unwrap();
            assert_eq!(read(&folder, "escaped").as_deref(), Some("x"), "{entries:?}");
            assert!(!folder.path().join("escaped").exists());
        }
        for entries in [[(FILE, "../escaped", 0o644, "x")], [(HARD, "a", 0o644, "../../etc/passwd")]] {
            let (folder, outcome) = unpacked(&[&entries]);
            assert!(format!("{:#}", outcome.unwrap_err()).contains("leads out of the image"), "{entries:?}");
            assert!(!folder.path().join("escaped").exists());
        }
        let (folder, outcome) =
            unpacked(&[&[(LINK, "etc", 0o777, "/etc"), (HARD, "a", 0o644, "etc/passwd")]]);
        assert!(outcome.is_err() && read(&folder, "a").is_none(), "the image has no such file");
    }

    /// Whoever makes layers that can be fetched in parts compresses each file by itself, and adds frames that say where they
    /// are. Source: RFC 8878, 3.1.2 "Skippable Frames"; containers/storage, `pkg/chunked`.
    #[test]
    fn a_layer_of_zstd_may_be_of_several_frames_with_others_between_them() {
        let mut plain = Vec::new();
        layer(&[(FILE, "a", 0o644, "from zstd")]).read_to_end(&mut plain).unwrap();
        let (first, second) = plain.split_at(700);
        let frame = |part| zstd::encode_all(part, 0).unwrap();
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0any".to_vec();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[frame(first), skipped, frame(second)].concat()).unwrap();
        file.rewind().unwrap();
        let folder = tempfile::tempdir().unwrap();
        unpack(file, &format!("{TAR}+zstd"), folder.path(), false).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "from zstd");
    }

    #[test]
    fn a_layer_that_is_not_unpacked_here_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = unpack(layer(&[]), &format!("{TAR}+encrypted"), folder.path(), false);
        assert!(error.unwrap_err().to_string().contains("tar+encrypted"));
    }
}
