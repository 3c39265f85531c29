//! Inputs and outputs that are many files: a folder, or what a pattern names of one. Where each of the files goes, and which
//! of them cannot be together.

use std::collections::BTreeMap;

use super::check::{Check, require};
use super::limits::fits;
use super::{Input, Output, Work};
use crate::shown::shown;

/// The most files of one input or output that is a folder.
pub const FOLDER_LIMIT: usize = 100_000;

impl Input {
    /// Whether it is all that is below a prefix: its name and its place both end with `/`.
    pub fn is_folder(&self) -> bool {
        self.file.ends_with('/')
    }
}

impl Output {
    /// Which files it names; none where it is one file of this very name.
    pub fn pattern(&self) -> Option<Pattern<'_>> {
        Pattern::parse(&self.file)
    }
}

/// Which files below a folder an output names, of which nobody knows beforehand how they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern<'a> {
    folder: &'a str,
    parts: Vec<&'a str>,
}

impl<'a> Pattern<'a> {
    /// Reads an output's name: `hls/` is all below that folder, `hls/*.ts` what is in it and ends so, `hls/**/*.ts` the same
    /// with the folders in it. None where it is one file's.
    pub fn parse(file: &'a str) -> Option<Self> {
        if !file.contains('*') && !file.ends_with('/') {
            return None;
        }
        let first = file.find('*').unwrap_or(file.len());
        let (folder, rest) = file.split_at(file[..first].rfind('/').map_or(0, |slash| slash + 1));
        let mut parts: Vec<_> = rest.split('/').collect();
        // What ends with a slash is a folder with all that is in it.
        if let Some(last) = parts.last_mut().filter(|last| last.is_empty()) {
            *last = "**";
        }
        Some(Self { folder, parts })
    }

    /// The folder that they are below, with its `/`; empty for the working directory. Their keys go on with what their names
    /// have after it.
    pub fn folder(&self) -> &'a str {
        self.folder
    }

    /// Whether it names the file that is called `name` below its folder. A `*` stands for any characters but `/`, a `**` for
    /// any folders, or for all that is below the last one.
    pub fn names(&self, name: &str) -> bool {
        let names: Vec<_> = name.split('/').collect();
        let runs: Vec<&[&str]> = self.parts.split(|part| *part == "**").collect();
        let starts = |names: &[&str], run: &[&str]| {
            names.len() >= run.len() && run.iter().zip(names).all(|(part, name)| fits(part, name))
        };
        match runs.as_slice() {
            [] => false,
            [only] => names.len() == only.len() && starts(&names, only),
            [first, middle @ .., last] => {
                let mut rest = names.as_slice();
                if !starts(rest, first) {
                    return false;
                }
                rest = &rest[first.len()..];
                for run in middle {
                    let Some(at) = (0..=rest.len()).find(|at| starts(&rest[*at..], run)) else {
                        return false;
                    };
                    rest = &rest[at + run.len()..];
                }
                // A file has a name of its own behind a last `**`.
                rest.len() >= last.len().max(1) && starts(&rest[rest.len() - last.len()..], last)
            }
        }
    }
}

/// Refuses a file in a folder that is another file, `ref/genome.fa` beside `ref`, and an input in a folder that is filled
/// from S3.
pub(super) fn check_files(work: &Work) -> Check {
    let inputs = work.inputs.iter().map(|input| &input.file).enumerate();
    let inputs = inputs.map(|(i, file)| (file.as_str(), format!("task.inputs[{i}].file")));
    let outputs = work.outputs.iter().map(|output| &output.file).enumerate();
    let outputs = outputs.map(|(i, file)| (file.as_str(), format!("task.outputs[{i}].file")));
    let filled: BTreeMap<&str, String> = inputs.clone().filter(|(file, _)| file.ends_with('/')).collect();
    for (file, field) in inputs.clone() {
        let mut folders =
            file.match_indices('/').map(|(end, _)| &file[..=end]).filter(|folder| *folder != file);
        if let Some(folder) = folders.find(|folder| filled.contains_key(folder)) {
            let allowed =
                format!("a name outside of {}, which is filled from S3: {}", shown(folder), filled[folder]);
            return require(false, &field, file, allowed);
        }
    }
    let all: BTreeMap<&str, String> = outputs.chain(inputs).collect();
    let files = |name: &str| all.get(name).filter(|_| Pattern::parse(name).is_none());
    for (file, field) in &all {
        let known = Pattern::parse(file).map_or(*file, |pattern| pattern.folder());
        let mut folders = known.match_indices('/').map(|(end, _)| &known[..end]);
        if let Some((folder, of_file)) = folders.find_map(|folder| Some((folder, files(folder)?))) {
            let allowed = format!("a name outside of {}, which is a file: {of_file}", shown(folder));
            return require(false, field, file, allowed);
        }
    }
    Ok(())
}

/// Refuses places at which one output could write over another, or over the list of them. What several patterns name of one
/// folder may go to one place: a file goes there once, as the first of them says.
pub(super) fn check_places(work: &Work) -> Check {
    let outputs = work.outputs.iter().enumerate();
    let outputs = outputs.map(|(i, output)| (format!("task.outputs[{i}].to"), &output.to, output.pattern()));
    let list = work.output_list.iter().map(|to| ("task.outputList".to_owned(), to, None));
    let places: Vec<_> = outputs.chain(list).collect();
    for (i, (field, to, pattern)) in places.iter().enumerate() {
        for (other_field, other, other_pattern) in &places[..i] {
            if to == other {
                let of_one_folder = pattern.as_ref().zip(other_pattern.as_ref());
                let is_apart = of_one_folder.is_some_and(|(one, other)| one.folder() == other.folder());
                require(is_apart, field, to, "a place that no other output has")?;
                continue;
            }
            let outside =
                |of: &str, by: &str| format!("a place outside of {}, where {by} puts files", shown(of));
            require(!is_below(to, other), field, to, outside(other, other_field))?;
            require(!is_below(other, to), other_field, other, outside(to, field))?;
        }
    }
    Ok(())
}

fn is_below(place: &str, prefix: &str) -> bool {
    prefix.ends_with('/') && place.starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
        let pattern = Pattern::parse(pattern).expect("a pattern");
        names.iter().copied().filter(|name| pattern.names(name)).collect()
    }

    #[test]
    fn a_pattern_is_below_the_folder_before_its_first_star() {
        for (file, folder) in
            [("hls/", "hls/"), ("a/b/", "a/b/"), ("*.ts", ""), ("a/b/x*/c", "a/b/"), ("**", ""), ("a*/", "")]
        {
            assert_eq!(Pattern::parse(file).map(|pattern| pattern.folder()), Some(folder), "{file}");
        }
        for file in ["hls", "a/b", "a.ts"] {
            assert_eq!(Pattern::parse(file), None);
        }
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_do_not() {
        let names = ["a.ts", "b.m3u8", "x/a.ts", "x/y/a.ts", "x/y/b.m3u8", ".hidden"];
        for (pattern, expected) in [
            ("hls/", &names[..]),
            ("hls/**", &names),
            ("**/**", &names),
            ("**/*", &names),
            ("*", &["a.ts", "b.m3u8", ".hidden"]),
            ("hls/*.ts", &["a.ts"]),
            ("hls/**/*.ts", &["a.ts", "x/a.ts", "x/y/a.ts"]),
            ("*/*.ts", &["x/a.ts"]),
            ("*/", &["x/a.ts", "x/y/a.ts", "x/y/b.m3u8"]),
            ("**/y/**", &["x/y/a.ts", "x/y/b.m3u8"]),
            ("*x/**/a.*", &["x/a.ts", "x/y/a.ts"]),
            ("*/y/*/a.ts", &[]),
        ] {
            assert_eq!(named(pattern, &names), expected, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_many_parts_is_soon_tried() {
        let name = "a/".repeat(400) + "b";
        assert_eq!(named(&"**/a/".repeat(80), &[&name]), [name.as_str()]);
        assert_eq!(named(&("**/a/".repeat(80) + "c*"), &[&name]), [""; 0]);
    }
}
