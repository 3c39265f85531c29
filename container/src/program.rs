//! Finds the command's program before anything is downloaded for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use mayfly_model::class::Class;
use mayfly_model::message::Failure;
use mayfly_model::shown::shown;

/// Where programs are looked for in an image that says nothing of it, as Docker has it.
/// Source: github.com/moby/moby, `DefaultPathEnvUnix`.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a program may be.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The command's `PATH`.
    pub path: &'a str,
    /// The image's working directory.
    pub image: &'a Path,
    /// The job's folder.
    pub work: &'a Path,
    /// The names of the files that will be in the job's folder.
    pub inputs: &'a [&'a str],
}

/// What to execute for the command's program `name`: with a slash in it an input of the job's, or else a file by its path in the
/// image, from the image's working directory on; without one the name itself, if any folder of the command's `PATH` has it. The
/// kernel takes the first of these that its user may execute.
pub fn find(name: &str, places: Places<'_>) -> Result<PathBuf, Failure> {
    if !name.contains('/') {
        let mut files = places.path.split(':').map(|folder| Path::new(folder).join(name));
        if files.any(|file| is_program(&file)) {
            return Ok(name.into());
        }
        let (name, path) = (shown(name), shown(places.path));
        return Err(missing(&format!(
            "the image has no program `{name}` in any folder of its PATH, which is {path}"
        )));
    }
    let normal: PathBuf = Path::new(name).components().filter(|part| *part != Component::CurDir).collect();
    let is_in =
        |input: &&str| normal == Path::new(input) || input.ends_with('/') && normal.starts_with(input);
    if places.inputs.iter().any(is_in) {
        return Ok(places.work.join(normal));
    }
    let file = places.image.join(normal);
    match fs::metadata(&file) {
        Ok(metadata) if metadata.is_file() && is_executable(&metadata) => Ok(file),
        Ok(_) => Err(missing(&format!(
            "{} in the image is no program that can be executed",
            shown(&file.to_string_lossy())
        ))),
        Err(_) => Err(missing(&format!(
            "neither the image nor the inputs have the program `{}`; in the image it would be {}",
            shown(name),
            shown(&file.to_string_lossy())
        ))),
    }
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && is_executable(&metadata))
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

fn missing(what: &str) -> Failure {
    let message = format!("{what}; correct task.command, or take an image that has it");
    Failure { class: Class::CommandFailed, message, output: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_an_input_a_file_of_the_image_or_in_its_path() {
        let image = tempfile::tempdir().unwrap();
        let folder = |name: &str| image.path().join(name);
        for (name, mode) in [("bin/tool", 0o755), ("bin/notes", 0o644), ("app/run", 0o755)] {
            fs::create_dir_all(folder(name).parent().unwrap()).unwrap();
            fs::write(folder(name), "").unwrap();
            fs::set_permissions(folder(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = format!("/nowhere:{}", folder("bin").display());
        let (directory, inputs) = (folder("app"), ["sub/script"]);
        let places = Places { path: &path, image: &directory, work: Path::new("/work"), inputs: &inputs };
        let found = |name: &str| find(name, places);
        assert_eq!(found("tool").unwrap(), Path::new("tool"));
        assert_eq!(found("./run").unwrap(), folder("app/run"));
        assert_eq!(found("./sub/script").unwrap(), Path::new("/work/sub/script"));
        let absolute = folder("bin/tool");
        assert_eq!(found(absolute.to_str().unwrap()).unwrap(), absolute);
        for (name, words) in [
            ("notes", "no program `notes` in any folder of its PATH"),
            ("run", "no program `run`"),
            ("../bin/notes", "no program that can be executed"),
            ("./gone", "neither the image nor the inputs have the program `./gone`"),
        ] {
            let failure = found(name).unwrap_err();
            assert_eq!(failure.class, Class::CommandFailed);
            assert!(failure.message.contains(words), "{}", failure.message);
            assert!(failure.message.contains("correct task.command"), "{}", failure.message);
        }
    }
}
