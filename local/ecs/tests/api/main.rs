//! The stand-in over the wire, with the AWS SDK as the client.

mod cloud;
/// Task definitions from their registration to their end.
mod definitions;
/// Tasks that go wrong.
mod faults;
/// Services, and the tasks that they run.
mod services;
