//! Which container image is which program of this machine.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use local_aws::glob::Glob;
use serde::Deserialize;
use tokio::fs;

use super::plan::Bind;

/// What an image holds: files, a program to run, and what that is run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The image's `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// Its `CMD`.
    pub command: Vec<String>,
    /// Its `ENV`.
    pub variables: BTreeMap<String, String>,
    /// Its `USER`; root where it says none.
    pub user: String,
    /// Its `WORKDIR`.
    pub working_dir: PathBuf,
    /// Its file tree.
    pub tree: Option<PathBuf>,
    /// What it has of this machine, and where, and cannot write.
    pub files: Vec<(PathBuf, PathBuf)>,
}

/// An image of the table, which is made of what is on this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    /// Folders that come first in the container's `PATH`, which it has as [`Entry::files`].
    #[serde(default)]
    path: Vec<String>,
    /// Other files and folders that it has: at the same place, or at the one after a colon, where no volume of a container's own
    /// hides what this machine has among its temporary files.
    #[serde(default)]
    files: Vec<String>,
    /// Whether it has no more than these; else it has this machine's programs and libraries too.
    #[serde(default)]
    is_bare: bool,
}

/// The `PATH` of an image that sets none, as Docker has it.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a machine's programs and libraries are, and what those read of /etc.
const SYSTEM: [&str; 14] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/mime.types",
    "/etc/pki",
    "/etc/ssl",
];

/// Where containers of the table's images begin.
const WORKING_DIR: &str = "/work";

impl Entry {
    fn image(self) -> Image {
        let path: Vec<_> = self.path.iter().map(|folder| placed(folder)).collect();
        let places = path.iter().map(|(_, to)| to.display().to_string());
        let variable = places.chain([SYSTEM_PATH.to_owned()]).collect::<Vec<_>>().join(":");
        let system = if self.is_bare { [].as_slice() } else { &SYSTEM };
        let files = self.files.iter().map(|file| placed(file));
        let files = system.iter().map(|file| placed(file)).chain(path).chain(files);
        Image {
            entrypoint: self.entrypoint,
            command: self.command,
            variables: [("PATH".to_owned(), variable)].into(),
            user: String::new(),
            working_dir: WORKING_DIR.into(),
            tree: None,
            files: files.collect(),
        }
    }
}

/// `FILE` or `FILE:PLACE`.
fn placed(text: &str) -> (PathBuf, PathBuf) {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    (from.into(), to.into())
}

impl Image {
    /// The variables of a container, but for its definition's.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        variables.entry("PATH".to_owned()).or_insert_with(|| SYSTEM_PATH.to_owned());
        variables
    }

    /// The files and folders of this machine that it has.
    pub fn binds(&self) -> Vec<Bind> {
        let found = self.files.iter().filter(|(from, _)| from.exists() && !from.is_symlink());
        found.map(|(from, to)| Bind { from: from.clone(), to: to.clone(), is_read_only: true }).collect()
    }

    /// A text with places of the image in it, or several with colons between them, where nothing is mounted there.
    pub fn outside(&self, text: &str) -> String {
        let outside = |place: &str| {
            let found = self.files.iter().find(|(_, to)| to.as_os_str() == place);
            found.map_or_else(|| place.to_owned(), |(from, _)| from.display().to_string())
        };
        text.split(':').map(outside).collect::<Vec<_>>().join(":")
    }

    /// Writes what an image has that is made by hand and by nobody else, where it has no tree: who its users are, and a folder for
    /// whatever is temporary.
    pub async fn lay_out(&self, root: &Path) -> io::Result<()> {
        if self.tree.is_some() {
            return Ok(());
        }
        for folder in ["etc", "root", "tmp"] {
            fs::create_dir_all(root.join(folder)).await?;
        }
        fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).await?;
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        )
        .await?;
        fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").await
    }

    /// The same for those that are symbolic links there, as `/bin` is to `/usr/bin`.
    pub fn links(&self) -> Vec<(PathBuf, PathBuf)> {
        self.files.iter().filter_map(|(from, to)| Some((to.clone(), from.read_link().ok()?))).collect()
    }

    /// The argument vector of a container whose definition overrides `entrypoint` and `command`.
    ///
    /// An entry point in the definition also drops the image's command, as with `docker run --entrypoint`:
    /// <https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact>
    pub fn arguments(&self, entrypoint: Option<&[String]>, command: Option<&[String]>) -> Vec<String> {
        let default = if entrypoint.is_some() { &[] } else { self.command.as_slice() };
        [entrypoint.unwrap_or(&self.entrypoint), command.unwrap_or(default)].concat()
    }
}

/// The table of images. The worker's is the program itself; `python` has what is on this machine, and `nginx` is played by
/// Python: it serves an empty folder on port 80, by its own entry point. `static-ffmpeg` has this machine's libraries, since the
/// ffmpeg that plays it is not static, and no program beside it. An entry is a pattern of `repository[:tag]` to a program. A
/// pattern without a tag stands for every tag, and `*` for any characters.
#[derive(Clone, Debug)]
pub struct Images(Vec<(Glob, Image)>);

impl Images {
    /// The table that is checked in beside this crate, `images.json`, with its `${NAME}` placeholders taken
    /// from `values`.
    ///
    /// # Errors
    /// When a placeholder has no value.
    pub fn checked_in(values: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        Self::parse(include_str!("../../images.json"), values).context("local/ecs/images.json")
    }

    /// A table in JSON, with `${NAME}` placeholders taken from `values`.
    ///
    /// # Errors
    /// When the text is no such table, or a placeholder has no value.
    pub fn parse(table: &str, values: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let table: BTreeMap<String, Entry> = serde_json::from_str(table)?;
        let images = table.into_iter().map(|(pattern, mut entry)| {
            let Entry { entrypoint, command, path, files, .. } = &mut entry;
            for text in [entrypoint, command, path, files].into_iter().flatten() {
                *text = substitute(text, values)?;
            }
            let tag = if has_tag(&pattern) { "" } else { ":*" };
            Ok((Glob::new(&format!("{pattern}{tag}")), entry.image()))
        });
        Ok(Self(images.collect::<anyhow::Result<_>>()?))
    }

    /// The program behind an image reference, if the table has one. The registry's host does not matter.
    pub(crate) fn find(&self, reference: &str) -> Option<&Image> {
        let mut name = without_registry(reference).to_owned();
        if !has_tag(&name) {
            name.push_str(":latest");
        }
        self.0.iter().find(|(pattern, _)| pattern.matches(&name)).map(|(_, image)| image)
    }
}

/// The first component of a reference is a registry if it has a dot or a port, or is `localhost`:
/// <https://pkg.go.dev/github.com/distribution/reference>
fn without_registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => reference,
    }
}

fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
}

fn substitute(text: &str, values: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { bail!("unfinished placeholder in {text:?}") };
        result.push_str(before);
        result.push_str(values.get(name).with_context(|| format!("no value for ${{{name}}}"))?);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(table: &str) -> Images {
        let values = [("WORKER".to_owned(), "/bin/worker".to_owned())].into();
        Images::parse(table, &values).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_image_is_found_whatever_its_registry() {
        let images = images(r#"{"mayfly-worker:latest": {"entrypoint": ["${WORKER}"]}, "team/*": {}}"#);
        let registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
        let found = images.find(&format!("{registry}/mayfly-worker:latest")).unwrap();
        assert_eq!(found.arguments(None, None), ["/bin/worker"]);
        assert!(images.find("mayfly-worker").is_some());
        assert!(images.find("localhost:5000/team/tool:v2").is_some());
        assert!(images.find("mayfly-worker:v2").is_none());
        assert!(images.find("other/mayfly-worker:latest").is_none());
    }

    #[test]
    fn the_definition_overrides_the_image_as_docker_does() {
        let images = images(r#"{"a": {"entrypoint": ["e"], "command": ["c"]}}"#);
        let image = images.find("a").unwrap();
        let (entrypoint, command) = (words(&["E"]), words(&["C"]));
        assert_eq!(image.arguments(None, None), ["e", "c"]);
        assert_eq!(image.arguments(None, Some(&command)), ["e", "C"]);
        assert_eq!(image.arguments(Some(&entrypoint), None), ["E"]);
        assert_eq!(image.arguments(Some(&entrypoint), Some(&command)), ["E", "C"]);
    }

    #[test]
    fn the_checked_in_table_needs_a_value_for_every_placeholder() {
        let error = Images::checked_in(&BTreeMap::new()).unwrap_err();
        assert!(format!("{error:#}").contains("no value for ${"), "{error:#}");
        let values = ["WORKER", "ROOTS", "FFMPEG", "FFMPEG_DIR", "PYTHON_HOME"]
            .map(|name| (name.to_owned(), format!("/opt/{name}")));
        let images = Images::checked_in(&values.into()).unwrap();
        for (reference, arguments) in [
            ("1.dkr.ecr.r.amazonaws.com/s-repository-x:worker", ["/mayfly-worker"].as_slice()),
            ("docker.io/library/python:3.13-slim", &["python3"]),
            ("public.ecr.aws/docker/library/nginx:alpine", &["python3", "-m", "http.server", "80"]),
        ] {
            assert_eq!(images.find(reference).unwrap().arguments(None, None), arguments, "{reference}");
        }
    }

    #[test]
    fn what_an_image_has_at_a_place_of_its_own_is_found_where_nothing_is_mounted() {
        let images = images(
            r#"{"a": {"entrypoint": ["/w"], "path": ["/tmp/x/bin:/opt/x"], "files": ["${WORKER}:/w"]}}"#,
        );
        let image = images.find("a").unwrap();
        let path = &image.environment()["PATH"];
        assert!(path.starts_with("/opt/x:/usr/local/sbin:"), "{path}");
        assert_eq!(image.outside(path), path.replace("/opt/x", "/tmp/x/bin"));
        assert_eq!(["/w", "/w/x", "a:b"].map(|text| image.outside(text)), ["/bin/worker", "/w/x", "a:b"]);
    }
}
