//! The stand-in on its real wire: with the AWS SDK as the client, and with plain HTTP for what is signed beforehand.

mod bodies;
mod cloud;
mod forms;
mod large;
mod listing;
mod multipart;
mod objects;
mod rights;
mod signatures;
