//! The container around a played program: signals, its end, and its freezing.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use local_aws::clock::Clock;
use local_aws::reach::{Connection, Reachable, Transport};
use local_ecs::Container;
use tokio::select;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::worker::service::Served;
use crate::worker::truth::Truth;

/// The exit code of a process that died of a signal is this and the signal's number: `local_ecs::Container`.
pub(super) const OF_SIGNAL: i32 = 128;
const SIGKILL: i32 = 9;

/// What a program has of its container.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// Cancelled at SIGTERM, where the program takes notice of it.
    pub told_to_stop: CancellationToken,
    term: Arc<Mutex<Term>>,
    killed: watch::Sender<Option<i32>>,
    frozen: CancellationToken,
    out_of_memory: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Term {
    came: bool,
    is_ignored: bool,
}

impl Body {
    fn new() -> Self {
        Self {
            told_to_stop: CancellationToken::new(),
            term: Arc::default(),
            killed: watch::Sender::new(None),
            frozen: CancellationToken::new(),
            out_of_memory: watch::Sender::new(false),
        }
    }

    /// Whether SIGTERM is ignored from now on. One that came meanwhile is noticed when it is not ignored any more.
    pub fn ignore_term(&self, is_ignored: bool) {
        self.change(|term| term.is_ignored = is_ignored);
    }

    /// Dies of a signal.
    pub async fn die(&self, signal: i32, out_of_memory: bool) -> Infallible {
        self.out_of_memory.send_replace(out_of_memory);
        self.exit(OF_SIGNAL + signal).await
    }

    /// Ends with a code, at once; the first end stands.
    pub async fn exit(&self, code: i32) -> Infallible {
        self.end(code);
        pending().await
    }

    /// Moves no more.
    pub async fn hang(&self) -> Infallible {
        self.frozen.cancel();
        pending().await
    }

    fn end(&self, code: i32) {
        self.killed.send_modify(|killed| _ = killed.get_or_insert(code));
    }

    fn change(&self, change: impl FnOnce(&mut Term)) {
        let mut term = self.term.lock().expect("no thread panics while it holds the signal");
        change(&mut term);
        if term.came && !term.is_ignored {
            self.told_to_stop.cancel();
        }
    }
}

/// A played container.
#[derive(Debug)]
pub(super) struct Played {
    body: Body,
    served: Option<Served>,
    exit_code: watch::Receiver<Option<i32>>,
}

impl Played {
    /// Starts the program that `program` gives for the container's body; its output is the exit code. What becomes of it is
    /// told in the truth, where that is given.
    pub fn start(
        task: String,
        clock: Clock,
        truth: Option<Truth>,
        served: Option<Served>,
        program: impl FnOnce(Body) -> BoxFuture<'static, i32>,
    ) -> Self {
        let body = Body::new();
        let (sender, exit_code) = watch::channel(None);
        let (life, mut killed, frozen) =
            (program(body.clone()), body.killed.subscribe(), body.frozen.clone());
        tokio::spawn(async move {
            let mut killed = pin!(async move {
                let code = killed.wait_for(Option::is_some).await.ok().and_then(|code| *code);
                code.unwrap_or(OF_SIGNAL + SIGKILL)
            });
            let mut life = life;
            let ended = select! {
                biased;
                code = &mut killed => Some(code),
                () = frozen.cancelled() => None,
                code = &mut life => Some(code),
            };
            let code = if let Some(code) = ended {
                code
            } else {
                if let Some(truth) = &truth {
                    truth.hung(&task, clock.now());
                }
                killed.await
            };
            // Its connections close with it.
            drop(life);
            if let Some(truth) = truth {
                truth.ended(&task, clock.now(), code);
            }
            sender.send_replace(Some(code));
        });
        Self { body, served, exit_code }
    }

    /// What it serves, while it can.
    fn served(&self) -> io::Result<&Served> {
        let has_ended = self.exit_code.borrow().is_some();
        self.served.as_ref().filter(|_| !has_ended).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

impl Reachable for Played {
    fn connect(&self, _transport: Transport, _port: u16) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        async { self.served()?.connect(self.body.frozen.is_cancelled()) }.boxed()
    }
}

impl Container for Played {
    fn exit_code(&self) -> BoxFuture<'_, i32> {
        let mut exit_code = self.exit_code.clone();
        async move {
            let code = exit_code.wait_for(Option::is_some).await.ok().and_then(|code| *code);
            code.unwrap_or(OF_SIGNAL + SIGKILL)
        }
        .boxed()
    }

    fn terminate(&self) {
        self.body.change(|term| term.came = true);
    }

    fn kill(&self) {
        self.body.end(OF_SIGNAL + SIGKILL);
    }

    fn freeze(&self) {
        self.body.frozen.cancel();
    }

    fn is_out_of_memory(&self) -> bool {
        *self.body.out_of_memory.borrow()
    }

    fn run<'a>(&'a self, _command: &'a [String]) -> BoxFuture<'a, io::Result<i32>> {
        async {
            let check = self.served()?.behaviour.check;
            if self.body.frozen.is_cancelled() {
                return pending().await;
            }
            Ok(check)
        }
        .boxed()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.kill();
    }
}
