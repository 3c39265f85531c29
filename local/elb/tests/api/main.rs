//! The stand-in on its real wire, with the AWS SDK as the client, beside the EC2 stand-in whose networks it uses.

mod callers;
mod cloud;
mod deletion;
mod listeners;
mod load_balancers;
mod rights;
mod target_groups;
