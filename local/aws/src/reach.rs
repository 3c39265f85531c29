//! How the ports are reached of what others call.

use std::fmt::Debug;
use std::io;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a port is called over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// As security groups call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A connection to a port.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// What has ports that can be called from inside its network, whoever is let in there.
pub trait Reachable: Debug + Send + Sync {
    /// Connects to a port. Over TCP the connection is refused where nobody listens; over UDP it is one caller's datagrams,
    /// each after its length ([`crate::datagrams::framed`]).
    fn connect(&self, transport: Transport, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Connection>>>;
}
