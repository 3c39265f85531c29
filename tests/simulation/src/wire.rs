//! What a function's clients call through: the network between one execution environment and AWS, on which everything can
//! go wrong.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use http::{Request, Response};
use local_aws::clock::Clock;
use local_aws::server::{Service, received, sent};
use mayfly_stand_ins::request;
use tokio_util::sync::CancellationToken;

use crate::answers;
use crate::phases::Phases;
use crate::router::Router;
use crate::witness::{By, OnBehalfOf};

/// One run of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its folder in `functions/`.
    pub function: String,
    /// How many runs of this function came before it.
    pub visit: usize,
}

/// A call of AWS's that a run of a function makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Who makes it.
    pub by: Invocation,
    /// How many the same run has made before.
    pub index: usize,
    /// As in the scope of its signature, such as `ec2`.
    pub service: String,
    /// Such as `CreateVpc`.
    pub action: String,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Fate {
    /// It is answered, whether or not somebody still waits for that.
    Answered {
        /// How long it takes to its service.
        there: Duration,
        /// How long its answer takes.
        back: Duration,
    },
    /// It is answered without having reached its service.
    Refused(Duration, Response<Bytes>),
    /// It has its effect, and something else answers, that long after it was sent. An answer of which a part is missing is
    /// [`Fate::Broken`]: HTTP says how long it is.
    Garbled(Duration),
    /// The connection breaks before it has reached its service, or after: then its effect is there and its answer lost.
    Broken {
        /// Whether its service has done what it asks for.
        done: bool,
        /// When the connection breaks.
        after: Duration,
    },
    /// The function dies, before the call has reached its service or after.
    Killed {
        /// Whether its service has done what it asks for.
        done: bool,
    },
}

/// Decides what becomes of every call.
pub trait Fates: Debug + Send + Sync {
    /// What becomes of this one.
    fn of_call(&self, called: &Called) -> Fate;
}

/// The network of one execution environment. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Wire {
    router: Router,
    fates: Arc<dyn Fates>,
    phases: Phases,
    clock: Clock,
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Clone, Debug)]
struct Running {
    invocation: Invocation,
    on_behalf_of: OnBehalfOf,
    calls: usize,
    death: CancellationToken,
}

impl Wire {
    /// A network that leads to all services.
    pub fn new(router: Router, fates: Arc<dyn Fates>, phases: Phases, clock: Clock) -> Self {
        Self { router, fates, phases, clock, running: Arc::default() }
    }

    /// What a client calls through that goes over it.
    pub fn connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }

    /// From now on calls are made by `invocation`, for whom its input names; what this gives is cancelled when the function
    /// is to die.
    pub fn begin(&self, invocation: Invocation, on_behalf_of: OnBehalfOf) -> CancellationToken {
        let death = CancellationToken::new();
        *self.lock() = Some(Running { invocation, on_behalf_of, calls: 0, death: death.clone() });
        death
    }

    /// Nothing is sent any more until the next run begins: Lambda freezes an environment, or it has died.
    pub fn end(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().expect("no thread panics while it holds the run")
    }

    async fn carry(self, mut request: Request<Bytes>) -> Result<Response<Bytes>, ConnectorError> {
        let (called, death) = match &mut *self.lock() {
            Some(running) => {
                running.calls += 1;
                request.extensions_mut().insert(running.on_behalf_of.clone());
                request.extensions_mut().insert(By(running.invocation.function.clone()));
                let called = Called {
                    by: running.invocation.clone(),
                    index: running.calls - 1,
                    service: request::service(&request),
                    action: request::action(&request),
                };
                (called, running.death.clone())
            }
            None => return Err(broken("the environment is frozen")),
        };
        let fate = self.fates.of_call(&called);
        if self.phases.is_out(&called.service) {
            return Ok(answers::server_error(&called.service));
        }
        match fate {
            Fate::Answered { there, back } => {
                let response = self.done(request, there).await;
                self.clock.sleep(back).await;
                Ok(response)
            }
            Fate::Refused(after, response) => {
                self.clock.sleep(after).await;
                Ok(response)
            }
            Fate::Garbled(after) => {
                let _lost = self.done(request, after).await;
                Ok(answers::garbage(called.index + called.by.visit))
            }
            Fate::Broken { done, after } => {
                if done {
                    let _lost = self.done(request, Duration::ZERO).await;
                }
                self.clock.sleep(after).await;
                Err(broken("connection reset by peer"))
            }
            Fate::Killed { done } => {
                if done {
                    let _lost = self.done(request, Duration::ZERO).await;
                }
                death.cancel();
                std::future::pending().await
            }
        }
    }
}

impl Wire {
    /// What the service answers that gets the request after a while. It does what it is asked for although nobody waits.
    async fn done(&self, request: Request<Bytes>, there: Duration) -> Response<Bytes> {
        let (router, clock) = (self.router.clone(), self.clock);
        let answer = tokio::spawn(async move {
            clock.sleep(there).await;
            router.answer(request).await
        });
        answer.await.expect("no service panics")
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move { sent(wire.carry(received(request)?).await?) })
    }
}

fn broken(why: &str) -> ConnectorError {
    ConnectorError::io(io::Error::new(io::ErrorKind::ConnectionReset, why).into())
}
