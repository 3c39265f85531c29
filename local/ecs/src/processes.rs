//! Containers that are processes of this machine: all that touches processes and files is here.

mod container;
mod images;
pub mod init;
mod memory;
mod namespace;
mod network;
mod output;

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use local_aws::clock::Clock;

use crate::processes::container::ProcessContainer;
use crate::runtime::{Container, Launch, NoImage, Runtime, Wanted};

pub use crate::processes::images::Images;

/// The runtime whose containers are processes of this machine. A process of one's own user is not a sandbox: it runs only
/// images of its table.
#[derive(Clone, Debug)]
pub struct Processes {
    /// Which image is which program.
    pub images: Images,
    /// The program that is the init process of every container, by way of [`init::run_if_asked`].
    pub init: PathBuf,
    /// Each task has a folder below this one, and each of its containers one below that, by its name: its files while it
    /// runs, and `output.log`, which stays.
    pub work_dir: PathBuf,
    /// When lines of output are read.
    pub clock: Clock,
}

impl Runtime for Processes {
    fn pull<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<(), NoImage>> {
        async { self.images.find(&wanted.image).map(drop).ok_or(NoImage::NotFound) }.boxed()
    }

    fn start(&self, launch: Launch) -> BoxFuture<'_, anyhow::Result<Box<dyn Container>>> {
        async {
            let image = self.images.find(&launch.image).context("no such image")?;
            let task = self.work_dir.join(&launch.task);
            let container = ProcessContainer::start(&self.init, image, &task, launch, self.clock).await?;
            Ok(Box::new(container) as Box<dyn Container>)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, task: &'a str) -> BoxFuture<'a, io::Result<()>> {
        async move { container::discard(&self.work_dir.join(task)).await }.boxed()
    }
}
