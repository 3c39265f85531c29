//! Which container image is which program of this machine.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use local_aws::glob::Glob;
use serde::Deserialize;

/// What an image would hold: a program to run and where it finds its tools.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    /// The image's `ENTRYPOINT`.
    #[serde(default)]
    entrypoint: Vec<String>,
    /// The image's `CMD`.
    #[serde(default)]
    command: Vec<String>,
    /// Folders that come first in the container's `PATH`.
    #[serde(default)]
    pub path: Vec<String>,
}

impl Image {
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
/// Python: it serves an empty folder on port 80, by its own entry point. An entry is a pattern of `repository[:tag]` to a program. A pattern without a tag stands for
/// every tag, and `*` for any characters.
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
        let table: BTreeMap<String, Image> = serde_json::from_str(table)?;
        let images = table.into_iter().map(|(pattern, mut image)| {
            for text in [&mut image.entrypoint, &mut image.command, &mut image.path].into_iter().flatten() {
                *text = substitute(text, values)?;
            }
            let tag = if has_tag(&pattern) { "" } else { ":*" };
            Ok((Glob::new(&format!("{pattern}{tag}")), image))
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
        let values = ["WORKER", "FFMPEG_DIR", "TOOLS"].map(|name| (name.to_owned(), format!("/opt/{name}")));
        let images = Images::checked_in(&values.into()).unwrap();
        for (reference, arguments) in [
            ("1.dkr.ecr.r.amazonaws.com/s-repository-x:latest", ["/opt/WORKER"].as_slice()),
            ("docker.io/library/python:3.13-slim", &["python3"]),
            ("public.ecr.aws/docker/library/nginx:alpine", &["python3", "-m", "http.server", "80"]),
        ] {
            assert_eq!(images.find(reference).unwrap().arguments(None, None), arguments, "{reference}");
        }
    }
}
