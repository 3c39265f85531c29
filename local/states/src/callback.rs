//! Task tokens: how a waiting task and whoever calls back find each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local_aws::random::Random;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error::ApiError;
use crate::language::failure::Failure;

/// What somebody says with a token.
#[derive(Debug)]
pub enum Signal {
    /// SendTaskHeartbeat.
    Heartbeat,
    /// SendTaskSuccess or SendTaskFailure.
    Done(Result<Value, Failure>),
}

/// Every token ever issued.
#[derive(Clone, Debug)]
pub struct Tokens {
    random: Random,
    issued: Arc<Mutex<HashMap<String, Issued>>>,
}

#[derive(Debug)]
struct Issued {
    /// The machine whose task waits.
    machine: String,
    /// Gone when the task is over.
    sender: Option<UnboundedSender<Signal>>,
}

/// The waiting side of a token; dropping it closes the token.
#[derive(Debug)]
pub struct Callback {
    token: String,
    signals: UnboundedReceiver<Signal>,
    tokens: Tokens,
}

impl Tokens {
    /// No tokens yet.
    pub fn new(random: Random) -> Self {
        Self { random, issued: Arc::default() }
    }

    /// Issues a token. Each try has its own, so that an old one is of no use after a retry
    /// (<https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token>).
    pub fn open(&self, machine: &str) -> Callback {
        let token = STANDARD.encode(format!("{}{}", self.random.uuid(), self.random.uuid()));
        let (sender, signals) = unbounded_channel();
        self.lock().insert(token.clone(), Issued { machine: machine.to_owned(), sender: Some(sender) });
        Callback { token, signals, tokens: self.clone() }
    }

    /// The ARN of the machine that issued `token`, whether its task still waits or not.
    pub fn machine(&self, token: &str) -> Option<String> {
        self.lock().get(token).map(|issued| issued.machine.clone())
    }

    /// Hands a signal to the task that waits.
    ///
    /// # Errors
    /// `InvalidToken` for what was never a token, `TaskTimedOut` for one whose task is over (API reference,
    /// SendTaskSuccess).
    pub fn send(&self, token: &str, signal: Signal) -> Result<(), ApiError> {
        let mut tokens = self.lock();
        let Some(Issued { sender, .. }) = tokens.get_mut(token) else {
            return Err(ApiError::new("InvalidToken", "Invalid Token: 'Invalid token'"));
        };
        let last = matches!(signal, Signal::Done(_));
        let delivered = sender.as_ref().is_some_and(|sender| sender.send(signal).is_ok());
        if last {
            *sender = None;
        }
        if delivered {
            Ok(())
        } else {
            let message = "Task Timed Out: 'Provided task does not exist anymore'";
            Err(ApiError::new("TaskTimedOut", message))
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Issued>> {
        self.issued.lock().expect("no thread panics while it holds the tokens")
    }
}

impl Callback {
    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The next signal.
    pub async fn signal(&mut self) -> Signal {
        match self.signals.recv().await {
            Some(signal) => signal,
            // The sender goes only with the last signal, which ends the wait.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(issued) = self.tokens.lock().get_mut(&self.token) {
            issued.sender = None;
        }
    }
}
