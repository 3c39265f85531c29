//! Containers that are played in this process: Mayfly's worker, which keeps to the real one's protocol, and the images of
//! services. What they do is the director's to say, what they did is in the [`Truth`].

mod behaviour;
mod body;
mod folders;
mod life;
mod log;
mod mailbox;
mod parts;
mod reports;
mod service;
mod truth;
mod urls;
mod work;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use local_aws::server::Service;
use local_aws::upstream::Upstream;
use local_ecs::{Container, Launch, NoImage, Runtime, Wanted};

use crate::s3::objects::Objects;
use crate::worker::body::{Body, Played};
use crate::worker::service::Served;

pub use crate::worker::behaviour::{
    Behaviour, Director, End, InitBehaviour, Moment, Quirk, ServiceBehaviour,
};
pub use crate::worker::truth::{Life, Sent, Signed, Start, Stored, Truth};

/// Answers what a container asks at the link-local addresses of its task.
type Agent = dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync;

/// What an image of the registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// Mayfly's worker.
    Worker,
    /// A service's own.
    Service,
    /// What copies the worker into a volume of the task, and ends, before any other of its containers is started.
    Init,
}

/// What the containers are played with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account: its time, its randomness, and the way to its SQS.
    pub upstream: Upstream,
    /// What is in registries, by how references to it end.
    pub images: BTreeMap<String, Image>,
    /// Who says what the containers do.
    pub director: Arc<dyn Director>,
    /// Where large files go.
    pub objects: Objects,
}

/// A runtime whose containers are played. Clones share all of it.
#[derive(Clone)]
pub struct Stage {
    config: Config,
    agent: Arc<OnceLock<Box<Agent>>>,
    truth: Truth,
}

impl Debug for Stage {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stage").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Stage {
    /// A runtime that has started nothing yet.
    pub fn new(config: Config) -> Self {
        Self { config, agent: Arc::default(), truth: Truth::default() }
    }

    fn image(&self, reference: &str) -> Option<Image> {
        let mut images = self.config.images.iter();
        images.find(|(end, _)| reference.ends_with(end.as_str())).map(|(_, image)| *image)
    }

    /// Has `agent` answer the containers from now on: the one of the ECS that this is the runtime of.
    ///
    /// # Panics
    /// When there is one already.
    pub fn ask(&self, agent: impl Service) {
        let answer = move |request| {
            let agent = agent.clone();
            async move { agent.answer(request).await }.boxed()
        };
        assert!(self.agent.set(Box::new(answer)).is_ok(), "a runtime has one agent");
    }

    /// What the containers have done.
    pub fn truth(&self) -> Truth {
        self.truth.clone()
    }
}

impl Runtime for Stage {
    fn pull<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<(), NoImage>> {
        async { self.image(&wanted.image).map(drop).ok_or(NoImage::NotFound) }.boxed()
    }

    fn start(&self, launch: Launch) -> BoxFuture<'_, anyhow::Result<Box<dyn Container>>> {
        async move {
            let image = self.image(&launch.image).context("no such image")?;
            let clock = self.config.upstream.clock;
            let (truth, task) = (Some(self.truth.clone()), launch.task.clone());
            if image != Image::Init {
                self.truth.began(&task, launch.environment.get("MAYFLY_JOB"), clock.now());
            }
            let played = match image {
                Image::Worker => {
                    let program = |body| self.beginning(launch, body).live().boxed();
                    Played::start(task, clock, truth, None, program)
                }
                Image::Service => {
                    let behaviour = self.config.director.service(&task);
                    let served = launch.is_called.then(|| Served::new(behaviour.clone(), clock));
                    let logs = launch.logs;
                    let program = |body| service::live(behaviour, clock, logs, body).boxed();
                    Played::start(task, clock, truth, served, program)
                }
                // The life of a task is that of the container which depends on this one.
                Image::Init => {
                    let behaviour = self.config.director.init(&task);
                    let program = |body: Body| behaviour.live(clock, body).boxed();
                    Played::start(task, clock, None, None, program)
                }
            };
            Ok(Box::new(played) as Box<dyn Container>)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, _task: &'a str) -> BoxFuture<'a, io::Result<()>> {
        // Played containers have no files.
        async { Ok(()) }.boxed()
    }
}
