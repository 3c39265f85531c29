//! MiniStack as a child process.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_aws::upstream::Upstream;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(10);

pub struct MiniStack {
    child: Child,
    group: Pid,
}

impl MiniStack {
    /// Starts MiniStack on a free port and writes its origin into `upstream`.
    pub async fn start(tools: &Path, folder: &Path, upstream: &mut Upstream) -> Result<Self> {
        // MiniStack takes a port number only; between the look for a free one and its start another program may take
        // it, and MiniStack ends at once.
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            upstream.ministack = format!("http://127.0.0.1:{port}");
            let mut ministack = Self::spawn(tools, folder, upstream, port)?;
            if ministack.is_ready(&upstream.ministack).await? {
                return Ok(ministack);
            }
            ministack.stop().await?;
        }
        bail!("MiniStack does not start; its log is {}", folder.join("ministack.log").display())
    }

    fn spawn(tools: &Path, folder: &Path, upstream: &Upstream, port: u16) -> Result<Self> {
        let log = std::fs::File::create(folder.join("ministack.log"))?;
        let scratch = folder.join("tmp");
        std::fs::create_dir_all(&scratch)?;
        let python = tools.join("python");
        anyhow::ensure!(python.is_file(), "{} is missing; `make tools` installs it", python.display());
        // setpriv, of util-linux, so that MiniStack does not outlive a local cloud that was killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(python)
            .args(["-m", "ministack"])
            .current_dir(&scratch)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &scratch)
            .env("TMPDIR", &scratch)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AUTH", "true")
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("MINISTACK_ACCOUNT_ID", &upstream.account)
            .env("MINISTACK_REGION", &upstream.region)
            // What Lambda itself sets for a function whose log format is JSON.
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            // MiniStack hands its environment on to the functions.
            .envs(crate::environment(upstream))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("could not start {}/python; `make tools` installs it", tools.display())
            })?;
        let id = child.id().context("MiniStack ended at once")?;
        Ok(Self { child, group: Pid::from_raw(i32::try_from(id)?) })
    }

    /// Waits until MiniStack answers; false where it has ended.
    async fn is_ready(&mut self, origin: &str) -> Result<bool> {
        let deadline = Instant::now() + START_LIMIT;
        let health = format!("{origin}/_ministack/health");
        loop {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if reqwest::get(&health).await.is_ok_and(|response| response.status().is_success()) {
                return Ok(true);
            }
            anyhow::ensure!(Instant::now() < deadline, "MiniStack does not answer at {health}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops MiniStack and the functions that it runs.
    pub async fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            killpg(self.group, Signal::SIGTERM)?;
            if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
                self.child.start_kill()?;
                self.child.wait().await?;
            }
        }
        // Functions that outlived MiniStack; none is the usual case.
        let _ = killpg(self.group, Signal::SIGKILL);
        Ok(())
    }
}
