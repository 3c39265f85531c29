//! The stand-in over the wire, with the AWS SDK as the client.

/// Services that are called: ports, health checks, and what replaces a task.
mod called;
mod cloud;
/// Clusters, several side by side.
mod clusters;
/// Task definitions from their registration to their end.
mod definitions;
/// Tasks that go wrong.
mod faults;
mod images;
/// Without a socket, and without a process.
mod in_process;
mod ministack;
/// Tasks in networks without a NAT gateway.
mod private;
/// What the account may have at once.
mod quotas;
mod secrets;
/// Services, and the tasks that they run.
mod services;
mod together;
