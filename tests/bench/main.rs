//! Numbers, not a test: how fast a function starts and how little it needs, and how fast the worker moves files.
//!
//! Both sides of a comparison take turns, so that whatever else the machine does disturbs both, and talk to the same
//! server on the loopback interface. `make bench` builds what is measured as `make build` does.

mod bucket;
mod cloud;
mod function;
mod process;
mod tls;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let programs = folder("MAYFLY_PROGRAMS")?;
    println!(
        "\nA function's cold start: from the process's start to its first answer, its first AWS calls over TLS included."
    );
    println!("Idle: resident memory of the process after that.\n");
    function::table(&programs, &folder("MAYFLY_TOOLS")?, &functions()?).await?;
    println!(
        "\nMoving files between S3 and the disk, in the same run as boto3's CRT client, by connections of 80 MB/s."
    );
    println!(
        "Peak: the most resident memory of the process in all turns. Server: what it can do without that limit.\n"
    );
    transfer::table(&programs, &folder("MAYFLY_TOOLS")?).await
}

/// The functions that are to be measured: those of the arguments, or all.
fn functions() -> Result<Vec<String>> {
    // Cargo adds a flag of its own.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let all = function::FUNCTIONS.map(str::to_owned);
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        bail!("{unknown} is not among {}", all.join(", "));
    }
    Ok(if named.is_empty() { all.into() } else { named })
}

fn folder(variable: &str) -> Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set; use `make bench`"))
}

/// The value in the middle.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
