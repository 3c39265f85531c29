//! The worker against servers on the loopback interface and small real programs.

mod cloud;
mod command;
mod download;
mod server;
mod upload;
mod urls;
mod whole;
