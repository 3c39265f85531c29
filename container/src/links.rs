//! Follows the symbolic links on the way to a file in a folder, one by one, and tells where they lead.

use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::fs::Dir;
use mayfly_model::shown::shown;

/// More links on one way lead in a circle, as they do for the kernel.
/// Source: path_resolution(7).
const LINKS_LIMIT: usize = 40;

/// Where in `folder` the file `name` is when all links have been followed, absolute ones too, as a way without links.
/// `path` is the folder's own, without links.
///
/// Nothing outside is looked at: the worker sees more than the command, which must not learn of it what is there.
///
/// # Errors
/// Tells of the link that leads out of the folder, or to nothing.
pub fn resolve(folder: &Dir, path: &Path, name: &Path) -> io::Result<PathBuf> {
    let mut way = Way { folder, path, at: path.to_owned(), link: None, links: 0 };
    way.follow(name)?;
    match way.at.strip_prefix(path) {
        Ok(inside) if inside.as_os_str().is_empty() => Ok(".".into()),
        Ok(inside) => Ok(inside.to_owned()),
        Err(_) => Err(way.leads("which is outside the working folder")),
    }
}

/// The way to a file, as far as it has been followed.
struct Way<'a> {
    folder: &'a Dir,
    path: &'a Path,
    /// No link is in it.
    at: PathBuf,
    /// The last link, and what it says.
    link: Option<(PathBuf, PathBuf)>,
    links: usize,
}

impl Way<'_> {
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        for part in path.components() {
            match part {
                Component::Normal(name) => self.at.push(name),
                Component::ParentDir => _ = self.at.pop(),
                Component::RootDir => self.at = "/".into(),
                Component::CurDir | Component::Prefix(_) => {}
            }
            match self.at.strip_prefix(self.path) {
                Ok(inside) if !inside.as_os_str().is_empty() => self.look(inside.to_owned())?,
                Ok(_) => {}
                // It may come back.
                Err(_) if self.path.starts_with(&self.at) => {}
                Err(_) => return Err(self.leads("which is outside the working folder")),
            }
        }
        Ok(())
    }

    /// Goes where `inside` leads, if it is a link.
    fn look(&mut self, inside: PathBuf) -> io::Result<()> {
        let kind = self.folder.symlink_metadata(&inside).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if self.link.is_some() => self.leads("where nothing is"),
            _ => error,
        })?;
        if !kind.is_symlink() {
            return Ok(());
        }
        let target = self.folder.read_link_contents(&inside)?;
        self.link = Some((inside, target.clone()));
        self.links += 1;
        if self.links > LINKS_LIMIT {
            return Err(self.leads("which leads in a circle"));
        }
        self.at.pop();
        self.follow(&target)
    }

    fn leads(&self, to: &str) -> io::Error {
        let message = match &self.link {
            Some((link, target)) => {
                let [link, target] = [link, target].map(|path| shown(&path.to_string_lossy()));
                format!("{link} is a link to {target}, {to}")
            }
            None => "it is outside the working folder".to_owned(),
        };
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use cap_std::ambient_authority;
    use tempfile::TempDir;

    use super::*;

    /// A folder `work` with a file `deep/real` in it, beside a file `secret`; tells its path.
    fn folder() -> (TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().canonicalize().unwrap().join("work");
        fs::create_dir_all(path.join("deep")).unwrap();
        fs::write(path.join("deep/real"), "").unwrap();
        fs::write(place.path().join("secret"), "").unwrap();
        (place, path)
    }

    /// What becomes of `link` when it says `target`.
    fn follow(path: &Path, link: &str, target: impl AsRef<Path>) -> Result<String, String> {
        let _ = fs::remove_file(path.join(link));
        symlink(target, path.join(link)).unwrap();
        let folder = Dir::open_ambient_dir(path, ambient_authority()).unwrap();
        let place = resolve(&folder, path, Path::new(link)).map_err(|error| error.to_string())?;
        Ok(place.display().to_string())
    }

    #[test]
    fn links_that_stay_in_the_folder_are_followed() {
        let (_place, path) = folder();
        symlink(&path, path.join("deep/back")).unwrap();
        let absolute = path.join("deep/real");
        let targets: [&Path; 6] = [
            "deep/real".as_ref(),
            "./deep/../deep//real".as_ref(),
            "../work/deep/real".as_ref(),
            "deep/back/deep/real".as_ref(),
            "deep/back/../work/deep/real".as_ref(),
            &absolute,
        ];
        for target in targets {
            assert_eq!(follow(&path, "out", target).as_deref(), Ok("deep/real"), "{}", target.display());
        }
        assert_eq!(follow(&path, "deep/out", "real").as_deref(), Ok("deep/real"));
        assert_eq!(follow(&path, "out", &path).as_deref(), Ok("."));
    }

    #[test]
    fn a_link_that_leads_out_is_refused_with_where_it_leads() {
        let (_place, path) = folder();
        let beside = path.with_file_name("work-2");
        let targets: [&Path; 9] = [
            "/etc/passwd".as_ref(),
            "/".as_ref(),
            "..".as_ref(),
            "../secret".as_ref(),
            // Whether anything is there is not told either.
            "../missing".as_ref(),
            "/proc/self/cwd/deep/real".as_ref(),
            "../../../../../../../../../../etc/passwd".as_ref(),
            "deep/../../secret".as_ref(),
            &beside,
        ];
        for target in targets {
            let expected =
                format!("out is a link to {}, which is outside the working folder", target.display());
            assert_eq!(follow(&path, "out", target), Err(expected));
        }
        // Two links, each of which says little.
        symlink("..", path.join("deep/up")).unwrap();
        symlink("..", path.join("up")).unwrap();
        let expected = "up is a link to .., which is outside the working folder".to_owned();
        assert_eq!(follow(&path, "out", "deep/up/up/secret"), Err(expected));
    }

    #[test]
    fn a_link_that_leads_to_nothing_is_told_from_a_missing_file() {
        let (_place, path) = folder();
        let expected = "out is a link to deep/gone, where nothing is".to_owned();
        assert_eq!(follow(&path, "out", "deep/gone"), Err(expected));
        assert_eq!(
            follow(&path, "out", "out"),
            Err("out is a link to out, which leads in a circle".to_owned())
        );
        let folder = Dir::open_ambient_dir(&path, ambient_authority()).unwrap();
        let error = resolve(&folder, &path, Path::new("gone")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
