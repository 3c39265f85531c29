//! Who a container's first process is, by the files of its own root: /etc/passwd and /etc/group, as in passwd(5) and group(5).

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// A user with all that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
    /// The groups besides.
    pub groups: Vec<u32>,
    /// Where it is at home.
    pub home: String,
}

/// Looks a user up: a name or a number, and after a colon a group. A number needs no entry; without a group the user's entry
/// says it, and else it is 0. Source: Dockerfile reference, `USER`; the words are Docker's.
pub(super) fn find(root: &Path, user: &str) -> anyhow::Result<User> {
    let (passwd, group) = (read(root, "etc/passwd"), read(root, "etc/group"));
    let (name, wanted_group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    let name = if name.is_empty() { "0" } else { name };
    let entry = entries(&passwd).find(|entry| entry[0] == name || entry.get(2) == Some(&name));
    let (uid, gid, home) = match &entry {
        Some(entry) if entry.len() >= 6 => (number(entry[2])?, number(entry[3])?, entry[5]),
        _ => (
            name.parse()
                .ok()
                .with_context(|| format!("unable to find user {name}: no matching entries in passwd file"))?,
            0,
            "/",
        ),
    };
    let Some(wanted) = wanted_group else {
        let user_name = entry.as_ref().map_or(name, |entry| entry[0]);
        let members = entries(&group).filter(|entry| {
            entry.get(3).is_some_and(|members| members.split(',').any(|member| member == user_name))
        });
        let groups =
            members.filter_map(|entry| entry[2].parse().ok()).filter(|other| *other != gid).collect();
        return Ok(User { uid, gid, groups, home: home.to_owned() });
    };
    let found = entries(&group).find(|entry| entry[0] == wanted || entry.get(2) == Some(&wanted));
    let gid = found.and_then(|entry| entry[2].parse().ok()).or_else(|| wanted.parse().ok());
    let gid =
        gid.with_context(|| format!("unable to find group {wanted}: no matching entries in group file"))?;
    Ok(User { uid, gid, groups: Vec::new(), home: home.to_owned() })
}

/// A file that is not there has no entries.
fn read(root: &Path, file: &str) -> String {
    fs::read_to_string(root.join(file)).unwrap_or_default()
}

fn entries(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|entry| entry.len() >= 3)
}

fn number(text: &str) -> anyhow::Result<u32> {
    text.parse().with_context(|| format!("the passwd file says {text:?} in place of a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_files_of_its_own_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:the app:/srv/app:/bin/false\n";
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        let group = "root:x:0:\napp:x:1001:\nvideo:x:44:app,other\nusers:x:100:other\n";
        fs::write(root.path().join("etc/group"), group).unwrap();
        let user = |uid, gid, groups: &[u32], home: &str| User {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
        };
        for (given, found) in [
            ("", user(0, 0, &[], "/root")),
            ("0:0", user(0, 0, &[], "/root")),
            ("app", user(1000, 1001, &[44], "/srv/app")),
            ("1000", user(1000, 1001, &[44], "/srv/app")),
            ("app:video", user(1000, 44, &[], "/srv/app")),
            ("10001:10001", user(10001, 10001, &[], "/")),
            ("10001", user(10001, 0, &[], "/")),
        ] {
            assert_eq!(find(root.path(), given).unwrap(), found, "{given}");
        }
        for (given, words) in [
            ("nobody", "unable to find user nobody: no matching entries in passwd file"),
            ("app:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ] {
            assert_eq!(find(root.path(), given).unwrap_err().to_string(), words);
        }
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(find(empty.path(), "5:6").unwrap(), user(5, 6, &[], "/"));
    }
}
