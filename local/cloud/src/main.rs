//! `make cloud` and `make run`: the local cloud for a person at a laptop.

mod run;
mod visit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use local_aws::clock::{Clock, TimeScale};
use local_cloud::{Cloud, Options};
use tokio::signal::unix::{SignalKind, signal};

/// The stack's name on the local cloud.
const STACK: &str = "mayfly";

/// The local cloud of Mayfly, on loopback: no account, no Docker.
#[derive(Parser)]
struct Arguments {
    /// The `bin` folder of the virtual environment with MiniStack, the SAM CLI and imageio-ffmpeg.
    #[arg(long, env = "MAYFLY_TOOLS")]
    tools: PathBuf,
    /// Real seconds per second of the cloud's waits, delays and time-outs. A job's work has real time.
    #[arg(long, env = "MAYFLY_TIME_SCALE", default_value = "0.1")]
    time_scale: TimeScale,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep the cloud up until Ctrl-C and print the environment to export.
    Up,
    /// Run one job and stop everything.
    Run {
        /// The job document.
        job: PathBuf,
        /// Where to put `result.json` and the job's outputs.
        #[arg(long, default_value = "target/run")]
        to: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    local_ecs::init::run_if_asked().map_or_else(serve, Ok)
}

#[tokio::main]
async fn serve() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // The tools are programs and so must be named from where this one was started.
    let tools = std::path::absolute(arguments.tools)?;
    let programs = std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let options = Options {
        tools,
        programs,
        clock: Clock::new(arguments.time_scale, TimeScale::REAL),
        ec2_quotas: local_ec2::Quotas::default(),
        ecs_quotas: local_ecs::Quotas::default(),
        elb_quotas: local_elb::Quotas::default(),
    };
    match arguments.command {
        Command::Up => up(options).await,
        Command::Run { job, to } => run::run(options, &job, &to).await,
    }
}

async fn up(options: Options) -> Result<ExitCode> {
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let cloud = start(options).await?;
    println!("\nThe local cloud is up. In another terminal:\n");
    for (name, value) in cloud.environment() {
        println!("export {name}={value}");
    }
    println!("export MAYFLY_STACK={STACK}");
    println!("export PATH={}:{}:$PATH", cloud.options().tools.display(), cloud.options().programs.display());
    println!(
        "\nA load balancer with a certificate is called as the owner of its name would have it called:\n\n\
         curl --cacert {} --connect-to ::ADDRESS: https://NAME:PORT/",
        cloud.root_certificate().display()
    );
    println!(
        "\nWhat sam deploys has to be where MiniStack looks for it:\n\nAWS_ENDPOINT_URL_S3={} sam deploy …",
        cloud.upstream().ministack
    );
    println!("\nThe bucket for jobs is {}. Ctrl-C stops everything.", local_cloud::deploy::DATA_BUCKET);
    let outcome = tokio::select! {
        biased;
        _ = interrupted.recv() => Ok(ExitCode::SUCCESS),
        _ = terminated.recv() => Ok(ExitCode::SUCCESS),
        broken = cloud.broken() => Err(broken),
    };
    println!("stopping");
    stop(cloud, outcome).await
}

/// Stops the cloud; what went wrong before counts for more than what goes wrong now.
async fn stop(cloud: Cloud, outcome: Result<ExitCode>) -> Result<ExitCode> {
    let stopped = cloud.stop().await;
    outcome.and_then(|code| stopped.map(|()| code))
}

/// Starts the cloud and deploys the stack, and says so.
async fn start(options: Options) -> Result<Cloud> {
    eprint!("Starting the local cloud ... ");
    let clock = options.clock;
    let began = clock.instant();
    let cloud = Cloud::start(options).await?;
    eprintln!("{:.1} s", (clock.instant() - began).as_secs_f64());
    eprint!("Deploying template.yaml with the SAM CLI ... ");
    let began = clock.instant();
    let deployed = tokio::select! {
        biased;
        deployed = cloud.deploy(Path::new("."), STACK, &["ReportEverySeconds=1"]) => deployed,
        broken = cloud.broken() => Err(broken),
    };
    if let Err(error) = deployed {
        eprintln!("failed");
        let _ = cloud.stop().await;
        return Err(error);
    }
    eprintln!("{:.1} s", (clock.instant() - began).as_secs_f64());
    Ok(cloud)
}
