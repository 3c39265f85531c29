//! The worker: the entrypoint of the container. It takes orders from its job's mailbox, runs the job's command on files
//! of its own folder, and reports to the done queue.

pub mod assignment;
pub mod command;
pub mod deliver;
pub mod descendants;
pub mod disk;
pub mod done;
pub mod download;
pub mod environment;
pub mod fill;
pub mod folder;
pub mod http;
pub mod install;
pub mod launch;
pub mod links;
pub mod list;
pub mod listing;
pub mod log;
pub mod mailbox;
pub mod measure;
pub mod oom;
pub mod output;
pub mod parts;
pub mod program;
pub mod progress;
pub mod queues;
mod ranges;
pub mod settings;
pub mod stop;
pub mod tree;
pub mod trust;
pub mod upload;
pub mod urls;
pub mod user;
pub mod walk;
pub mod worker;
