//! The worker against servers on the loopback interface and small real programs.

mod assignment;
mod cloud;
mod command;
mod conversation;
mod conversations;
mod download;
mod environment;
mod folders;
mod parts;
mod secrets;
mod security;
mod server;
mod stop;
mod upload;
mod urls;
mod whole;
