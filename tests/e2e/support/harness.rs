//! Runs the tests: an account's cloud starts with the first of its tests, each has a deadline from its turn on, and one
//! that fails shows what happened to its jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Conclusion, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell, watch};
use tokio::time::timeout;

use crate::support::account::Account;
use crate::support::evidence;
use crate::support::world::World;

/// The longest a test may take from its turn on, in real time, when others use the same machine. One that hangs ends
/// sooner, by the patience of whatever it waits for.
const DEADLINE: Duration = Duration::from_mins(8);

/// The kind of the tests in a new account.
const NEW_ACCOUNT: &str = "new account";

/// Spreads the tests in a new account evenly among the others, so that none waits long for its turn.
pub fn spread(trials: Vec<Trial>) -> Vec<Trial> {
    let (mut in_turn, others): (Vec<_>, Vec<_>) = trials.into_iter().partition(|t| t.kind() == NEW_ACCOUNT);
    let (total, turns) = (others.len() + in_turn.len(), in_turn.len());
    let mut all = others;
    for (n, trial) in in_turn.drain(..).enumerate() {
        all.insert(n * total / turns, trial);
    }
    all
}

/// What the tests share.
pub struct Harness {
    shared: Arc<Shared>,
    /// Who has it has the new account.
    new_account: Arc<Mutex<()>>,
}

struct Shared {
    runtime: Runtime,
    /// By account. The failure to start is kept, so that not every test tries again.
    worlds: [OnceCell<Result<Arc<World>, String>>; Account::ALL.len()],
    /// Turns true at Ctrl-C: every test then ends, and the cloud's processes with them.
    interrupted: watch::Receiver<bool>,
}

impl Harness {
    /// A harness without a cloud: listing the tests needs none.
    pub fn new() -> Result<Self> {
        let runtime = Runtime::new()?;
        let (interrupt, interrupted) = watch::channel(false);
        runtime.spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                interrupt.send_replace(true);
            }
        });
        Ok(Self {
            shared: Arc::new(Shared { runtime, worlds: Default::default(), interrupted }),
            new_account: Arc::default(),
        })
    }

    /// A test of this name. It is given the world and the name in a form that fits a job's id: the ids of all its
    /// jobs begin with that.
    pub fn trial<F>(
        &self,
        name: impl Into<String>,
        test: impl FnOnce(Arc<World>, String) -> F + Send + 'static,
    ) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        self.trial_in(Account::Generous, name, || std::future::ready(()), |world, job, ()| test(world, job))
    }

    /// The same for a test that shares something with others: it waits for its `turn`, is given what it has got, and
    /// only then its deadline begins.
    pub fn trial_in_turn<T, W, F>(
        &self,
        name: impl Into<String>,
        turn: impl FnOnce() -> W + Send + 'static,
        test: impl FnOnce(Arc<World>, String, T) -> F + Send + 'static,
    ) -> Trial
    where
        W: Future<Output = T>,
        F: Future<Output = Result<()>>,
    {
        self.trial_in(Account::Generous, name, turn, test)
    }

    /// The same in a new account, whose quotas one such test at a time has for itself.
    pub fn trial_in_new_account<F>(
        &self,
        name: impl Into<String>,
        test: impl FnOnce(Arc<World>, String) -> F + Send + 'static,
    ) -> Trial
    where
        F: Future<Output = Result<()>>,
    {
        let account = self.new_account.clone();
        let test = |world, job, turn| async {
            let outcome = test(world, job).await;
            drop(turn);
            outcome
        };
        self.trial_in(Account::New, name, || account.lock_owned(), test).with_kind(NEW_ACCOUNT)
    }

    fn trial_in<T, W, F>(
        &self,
        account: Account,
        name: impl Into<String>,
        turn: impl FnOnce() -> W + Send + 'static,
        test: impl FnOnce(Arc<World>, String, T) -> F + Send + 'static,
    ) -> Trial
    where
        W: Future<Output = T>,
        F: Future<Output = Result<()>>,
    {
        let (name, shared) = (name.into(), self.shared.clone());
        Trial::test(name.clone(), move || shared.run(account, &name.replace('_', "-"), turn, test))
    }

    /// Looks at all jobs a last time, unless a test has failed: its jobs may still run. Then stops the clouds.
    ///
    /// # Errors
    /// Names what is left of any job.
    pub fn close(self, conclusion: &Conclusion) -> Result<()> {
        let shared = Arc::into_inner(self.shared).context("a test is still running")?;
        let mut outcome = Ok(());
        for world in shared.worlds {
            let Some(Ok(world)) = world.into_inner() else { continue };
            let world = Arc::into_inner(world).context("a test still uses the cloud")?;
            outcome = outcome.and(shared.runtime.block_on(async {
                let looked = if conclusion.has_failed() { Ok(()) } else { world.last_look().await };
                world.stop().await.and(looked)
            }));
        }
        outcome
    }
}

impl Shared {
    fn run<T, W, F>(
        &self,
        account: Account,
        job: &str,
        turn: impl FnOnce() -> W,
        test: impl FnOnce(Arc<World>, String, T) -> F,
    ) -> Result<(), Failed>
    where
        W: Future<Output = T>,
        F: Future<Output = Result<()>>,
    {
        let world = self.runtime.block_on(self.world(account))?;
        let turn = self.runtime.block_on(turn());
        let test = test(world.clone(), job.to_owned(), turn);
        let work = || {
            self.runtime.block_on(self.limited(async {
                tokio::select! {
                    outcome = test => outcome,
                    broken = world.cloud().broken() => Err(broken),
                }
            }))
        };
        let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            Err(anyhow!("{text}"))
        });
        outcome.map_err(|error| {
            let told = self.runtime.block_on(evidence::about(&world, job));
            Failed::from(format!("{error:#}\n\n{told}"))
        })
    }

    async fn world(&self, account: Account) -> Result<Arc<World>, String> {
        let start = || async {
            // By a thread that lives as long as the runtime, because MiniStack ends with the thread that starts it.
            let starting = self.runtime.spawn(World::start(account));
            let world = self.limited(async { starting.await? }).await;
            world.map(Arc::new).map_err(|error| format!("the local cloud does not start: {error:#}"))
        };
        self.worlds[account as usize].get_or_init(start).await.clone()
    }

    async fn limited<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut interrupted = self.interrupted.clone();
        tokio::select! {
            outcome = timeout(DEADLINE, work) => {
                outcome.with_context(|| format!("not done after {} s", DEADLINE.as_secs()))?
            }
            Ok(_) = interrupted.wait_for(|interrupted| *interrupted) => Err(anyhow!("interrupted")),
        }
    }
}
