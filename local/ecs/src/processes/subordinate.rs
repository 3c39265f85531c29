//! The ids that an ordinary user may give to the users of containers. Source: subuid(5), subgid(5), newuidmap(1).

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use nix::unistd::{Pid, User, getgid, getuid};

/// Says which users there are in the namespace of `process`: this one, who is root there, and those that are subordinate to it, by
/// the programs that may say so.
///
/// # Errors
/// Where there are no such programs or no such ids.
pub(super) fn map(process: Pid) -> anyhow::Result<()> {
    let uid = getuid();
    let user = User::from_uid(uid)?.context("this process's user has no name")?;
    let owners = [user.name, uid.to_string()];
    for (program, list, own) in
        [("newuidmap", "/etc/subuid", uid.as_raw()), ("newgidmap", "/etc/subgid", getgid().as_raw())]
    {
        let listed = fs::read_to_string(list).with_context(|| format!("cannot read {list}"))?;
        let ranges = ranges(&listed, &owners);
        ensure!(!ranges.is_empty(), "{list} has no ids for {}", owners[0]);
        let mapped = Command::new(program)
            .arg(process.to_string())
            .args(arguments(own, &ranges).iter().map(u32::to_string))
            .output()
            .with_context(|| format!("cannot run {program}"))?;
        ensure!(mapped.status.success(), "{}", String::from_utf8_lossy(&mapped.stderr).trim());
    }
    Ok(())
}

/// The first and the number of ids in each range of a user, who is listed as one of `owners`, by name or number.
fn ranges(listed: &str, owners: &[String]) -> Vec<(u32, u32)> {
    let of_user = listed.lines().filter_map(|line| {
        let (owner, range) = line.trim().split_once(':')?;
        owners.iter().any(|known| known == owner).then_some(range)
    });
    let range = |range: &str| {
        let (first, count) = range.split_once(':')?;
        Some((first.parse().ok()?, count.parse().ok()?))
    };
    of_user.filter_map(range).collect()
}

/// For each range its first id inside, its first outside, and how many there are.
fn arguments(own: u32, ranges: &[(u32, u32)]) -> Vec<u32> {
    let mut next = 1_u32;
    let mut arguments = vec![0, own, 1];
    for &(first, count) in ranges {
        arguments.extend([next, first, count]);
        next = next.saturating_add(count);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_ranges_follow_its_own_id_without_a_gap() {
        let listed = "joanne:9:9\nann:100000:65536\n10000:9:9\n\nann:odd:1\n1000:300000:10\n";
        let ranges = ranges(listed, &["ann", "1000"].map(str::to_owned));
        assert_eq!(ranges, [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(arguments(1000, &ranges), [0, 1000, 1, 1, 100_000, 65_536, 65_537, 300_000, 10]);
    }
}
