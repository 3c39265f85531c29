//! Containers that are processes of this machine: all that touches processes and files is here.

mod begun;
mod chore;
mod container;
mod enclosure;
mod images;
pub mod init;
mod layers;
mod level;
mod memory;
mod namespace;
mod network;
mod output;
mod plan;
mod registry;
mod root;
mod subordinate;
mod users;

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use local_aws::clock::Clock;

use crate::processes::container::{ProcessContainer, Tools};
use crate::registries::Registry;
use crate::runtime::{Container, Launch, NoImage, Runtime, Wanted};

pub use crate::processes::chore::remove;
pub use crate::processes::images::Images;
pub use crate::processes::level::Level;
pub use crate::processes::registry::Cache;

/// The runtime whose containers are processes of this machine, with as much of their own as its kernel lets them have. That is
/// no sandbox: run only images that you would run as yourself.
#[derive(Clone, Debug)]
pub struct Processes {
    /// Which image is which program.
    pub images: Images,
    /// The program that is the init process of every container, by way of [`init::run_if_asked`].
    pub init: PathBuf,
    /// The images that have been pulled.
    pub cache: Cache,
    /// What the containers have of their own.
    pub level: Level,
    /// Each task has a folder below this one, and each of its containers one below that, by its name: its files while it
    /// runs, and `output.log`, which stays.
    pub work_dir: PathBuf,
    /// When lines of output are read.
    pub clock: Clock,
}

impl Runtime for Processes {
    /// An image that is not in the table is pulled, but from the account's own registry, of which the table is all that there is.
    fn pull<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<(), NoImage>> {
        async {
            match self.images.find(&wanted.image) {
                Some(_) => Ok(()),
                None if Registry::of(&wanted.image).is_ecr() => Err(NoImage::NotFound),
                None => self.cache.pull(wanted, &self.init, self.level).await,
            }
        }
        .boxed()
    }

    fn start(&self, launch: Launch) -> BoxFuture<'_, anyhow::Result<Box<dyn Container>>> {
        async {
            let pulled = self.cache.find(&launch.image, launch.architecture);
            let image = self.images.find(&launch.image).or(pulled.as_ref()).context("no such image")?;
            let Self { init, level, clock, .. } = self;
            let task = &self.work_dir.join(&launch.task);
            let tools = Tools { init, level: *level, clock: *clock, task };
            let container = ProcessContainer::start(tools, image, launch).await?;
            Ok(Box::new(container) as Box<dyn Container>)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, task: &'a str) -> BoxFuture<'a, io::Result<()>> {
        async move { container::discard(&self.init, &self.work_dir.join(task)).await }.boxed()
    }
}
