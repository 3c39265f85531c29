//! Who the command runs as: a user of the image's, by name or by number, as Docker finds one.
//!
//! The image's own tables are read here and not by libc, which loads modules (NSS) of whatever C library the image has.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use mayfly_model::shown::shown;
use serde::{Deserialize, Serialize};

/// Where an image has its table of users.
pub const USERS: &str = "/etc/passwd";
/// Where it has that of groups.
pub const GROUPS: &str = "/etc/group";
/// How many names a message lists.
const LISTED: usize = 20;

/// A user with their groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The number.
    pub id: u32,
    /// The primary group's number.
    pub group: u32,
    /// The numbers of the further groups.
    pub groups: Vec<u32>,
    /// The name, where the image's table has the number.
    pub name: Option<String>,
    /// The home, where the image's table has the number.
    pub home: Option<PathBuf>,
}

/// An entry of `/etc/passwd`.
/// Source: passwd(5).
struct Entry<'a> {
    name: &'a str,
    id: u32,
    group: u32,
    home: &'a str,
}

/// An entry of `/etc/group`.
/// Source: group(5).
struct Group<'a> {
    name: &'a str,
    id: u32,
    members: &'a str,
}

impl User {
    /// Finds `text`, which is `USER` or `USER:GROUP`, each a name or a number, in the tables `passwd` and `group`. A number
    /// needs no entry; without one its group is root's, and with a group that is named nobody is in others.
    /// Source: Dockerfile reference, `USER`; github.com/moby/sys, user/user.go, `GetExecUser`.
    ///
    /// # Errors
    /// Which name the tables do not have, in words.
    pub fn find(text: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (user, named_group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let number = user.parse::<u32>().ok();
        let entry = entries(passwd).find(|entry| entry.name == user || Some(entry.id) == number);
        let id =
            entry.as_ref().map(|entry| entry.id).or(number).ok_or_else(|| {
                unknown("user", user, "/etc/passwd", entries(passwd).map(|entry| entry.name))
            })?;
        let name = entry.as_ref().map(|entry| entry.name);
        let (primary, groups) = if let Some(named) = named_group {
            let number = named.parse::<u32>().ok();
            let found = all_groups(group).find(|group| group.name == named || Some(group.id) == number);
            let id = found.map(|group| group.id).or(number).ok_or_else(|| {
                unknown("group", named, "/etc/group", all_groups(group).map(|group| group.name))
            })?;
            (id, Vec::new())
        } else {
            let has_member = |group: &Group<'_>| {
                name.is_some_and(|name| group.members.split(',').any(|member| member == name))
            };
            let groups = all_groups(group).filter(has_member).map(|group| group.id).collect();
            (entry.as_ref().map_or(0, |entry| entry.group), groups)
        };
        let home = entry.as_ref().map(|entry| entry.home).filter(|home| !home.is_empty());
        Ok(Self { id, group: primary, groups, name: name.map(str::to_owned), home: home.map(PathBuf::from) })
    }

    /// The user and the group of this number, of whom nothing else is known.
    pub fn numbered(number: u32) -> Self {
        Self { id: number, group: number, groups: Vec::new(), name: None, home: None }
    }
}

impl Display for User {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.id, self.group)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(formatter, " ({})", shown(name)))
    }
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, id, group, _, home, ..] = fields[..] else { return None };
        Some(Entry { name, id: id.parse().ok()?, group: group.parse().ok()?, home })
    })
}

fn all_groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, id, members, ..] = fields[..] else { return None };
        Some(Group { name, id: id.parse().ok()?, members })
    })
}

fn unknown<'a>(what: &str, name: &str, table: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.take(LISTED).map(shown).collect();
    let known = if known.is_empty() { "nobody".to_owned() } else { known.join(", ") };
    format!("the image's {table} has no {what} {:?}, but {known}; a number needs no entry", shown(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:100::/home/app:/bin/sh\nbare:x:7:7:::\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\naudio:x:29:app,other\nvideo:x:44:other\n";

    fn found(text: &str) -> (u32, u32, Vec<u32>, Option<String>) {
        let user = User::find(text, PASSWD, GROUP).unwrap();
        (user.id, user.group, user.groups, user.name)
    }

    #[test]
    fn a_user_is_found_as_docker_finds_one() {
        let app = || Some("app".to_owned());
        assert_eq!(found("app"), (1000, 100, vec![29], app()));
        assert_eq!(found("1000"), (1000, 100, vec![29], app()));
        assert_eq!(found("app:video"), (1000, 44, vec![], app()));
        assert_eq!(found("1000:5"), (1000, 5, vec![], app()));
        assert_eq!(found("4000"), (4000, 0, vec![], None));
        assert_eq!(found("10001:10001"), (10001, 10001, vec![], None));
        assert_eq!(User::find("app", PASSWD, GROUP).unwrap().home, Some("/home/app".into()));
        assert_eq!(User::find("bare", PASSWD, GROUP).unwrap().home, None);
    }

    #[test]
    fn an_image_without_tables_has_numbers_alone() {
        assert_eq!(User::find("4000:4000", "", "").unwrap(), User::numbered(4000));
        let error = User::find("app", "", "").unwrap_err();
        assert_eq!(error, "the image's /etc/passwd has no user \"app\", but nobody; a number needs no entry");
    }

    #[test]
    fn a_name_that_is_nobodys_is_named_with_those_that_there_are() {
        let error = User::find("ap", PASSWD, GROUP).unwrap_err();
        assert!(error.contains("no user \"ap\", but root, app, bare;"), "{error}");
        let error = User::find("app:wheel", PASSWD, GROUP).unwrap_err();
        assert!(
            error.contains("/etc/group has no group \"wheel\", but root, users, audio, video;"),
            "{error}"
        );
    }
}
