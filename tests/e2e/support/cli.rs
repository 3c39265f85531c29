//! The program `mayfly`, as a person runs it.

use anyhow::Result;

use crate::support::world::World;

/// One run of `mayfly`: its exit code and what it printed.
pub struct Ran {
    pub code: Option<i32>,
    pub output: String,
    pub error: String,
}

/// Runs `mayfly` to its end.
pub async fn mayfly(world: &World, arguments: &[&str]) -> Result<Ran> {
    let ran = world.command("mayfly").args(arguments).output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: ran.status.code(), output: text(ran.stdout), error: text(ran.stderr) })
}
