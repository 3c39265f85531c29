//! MiniStack as a child process: started, waited for, and ended with the cloud.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use local_aws::upstream::Upstream;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

// MiniStack is a process of this machine, which takes real time.
const START_LIMIT: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const STOP_LIMIT: Duration = Duration::from_secs(10);

pub struct MiniStack {
    child: Child,
    group: Pid,
    log: PathBuf,
}

impl MiniStack {
    /// Starts MiniStack on a free port and writes its origin into `upstream`.
    pub async fn start(tools: &Path, folder: &Path, upstream: &mut Upstream) -> Result<Self> {
        // MiniStack takes a port number only; between the look for a free one and its start another program may take
        // it, and MiniStack ends at once.
        let mut how = String::new();
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            upstream.ministack = format!("http://127.0.0.1:{port}");
            let mut ministack = Self::spawn(tools, folder, upstream, port)?;
            if ministack.is_ready(&upstream.ministack).await? {
                return Ok(ministack);
            }
            let status = ministack.child.wait().await?;
            how = ministack.told(status);
            ministack.stop().await?;
        }
        bail!("MiniStack does not start: {how}")
    }

    fn spawn(tools: &Path, folder: &Path, upstream: &Upstream, port: u16) -> Result<Self> {
        let path = folder.join("ministack.log");
        let log = std::fs::File::create(&path)?;
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
        Ok(Self { child, group: Pid::from_raw(i32::try_from(id)?), log: path })
    }

    /// Waits until MiniStack answers; false where it has ended.
    async fn is_ready(&mut self, origin: &str) -> Result<bool> {
        let health = format!("{origin}/_ministack/health");
        let ready = async {
            loop {
                if self.child.try_wait()?.is_some() {
                    return Ok(false);
                }
                if reqwest::get(&health).await.is_ok_and(|response| response.status().is_success()) {
                    return Ok(true);
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(START_LIMIT, ready).await.unwrap_or_else(|_| bail!("MiniStack does not answer at {health}"))
    }

    /// Waits for an end that nobody has asked for; gives it in words, with the remedy.
    pub async fn ended(&mut self) -> anyhow::Error {
        let how = match self.child.wait().await {
            Ok(status) => self.told(status),
            Err(error) => error.to_string(),
        };
        anyhow!(
            "MiniStack, which most of the local cloud runs in, has ended by itself ({how}), and all that was in this \
             cloud is gone with it; start the local cloud again, with more memory to spare if a signal ended it"
        )
    }

    /// How MiniStack has ended, and what it said last. The log goes with the cloud's folder, so it cannot be referred to.
    fn told(&self, status: ExitStatus) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        match log.lines().rfind(|line| !line.trim().is_empty()) {
            // What a signal interrupts has no last words: the line is about something else.
            Some(line) if status.code().is_some() => format!("{status}, {}", line.trim()),
            _ => status.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a MiniStack that is this script.
    async fn end_of(script: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("ministack.log");
        let output = std::fs::File::create(&log).unwrap();
        let child = Command::new("sh").args(["-c", script]).stdout(output).process_group(0).spawn().unwrap();
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        let mut ministack = MiniStack { child, group, log };
        let told = timeout(STOP_LIMIT, ministack.ended()).await.unwrap().to_string();
        ministack.stop().await.unwrap();
        told
    }

    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_told_with_its_last_words_and_the_remedy() {
        let told = end_of("echo starting; echo 'MemoryError: out of it'; exit 3").await;
        assert!(told.contains("ended by itself (exit status: 3, MemoryError: out of it)"), "{told}");
        assert!(told.contains("start the local cloud again"), "{told}");
    }

    #[tokio::test]
    async fn what_a_signal_ends_has_no_last_words() {
        let told = end_of("echo 'GET /something 200'; kill -9 $$").await;
        assert!(told.contains("ended by itself (signal: 9 (SIGKILL)), and"), "{told}");
    }
}
