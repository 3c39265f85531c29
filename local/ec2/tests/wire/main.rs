//! The stand-in on its real wire: the AWS SDK is the client, and a few canned answers are MiniStack.

mod authorization;
mod cloud;
mod endpoints;
mod in_process;
mod ipv6;
mod limits;
mod load_balancers;
mod matrix;
mod ministack;
mod nat_gateways;
mod network;
mod reads;
mod routes;
mod rules;
mod visibility;
