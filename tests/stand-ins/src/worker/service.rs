//! The image of a service: it serves a page until it is told to stop.

use std::io;

use local_aws::clock::Clock;
use local_aws::reach::Connection;
use local_ecs::{Line, LogStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::select;
use tokio::time::Instant;

use crate::worker::behaviour::ServiceBehaviour;
use crate::worker::body::Body;

/// The most of a request or an answer that is under way at once.
const BUFFER: usize = 4096;
/// What ends the head of a request: RFC 9112, section 2.1.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const PAGE: &str = "<h1>It is served</h1>";

/// What others can call in a service's container.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub behaviour: ServiceBehaviour,
    clock: Clock,
    began: Instant,
}

impl Served {
    /// What a container serves that starts now.
    pub fn new(behaviour: ServiceBehaviour, clock: Clock) -> Self {
        Self { behaviour, clock, began: clock.instant() }
    }

    /// A connection to any port: what the image listens to is nobody's business here. A container that hangs takes it, as its
    /// kernel does, and says nothing.
    pub fn connect(&self, hangs: bool) -> io::Result<Box<dyn Connection>> {
        if self.clock.scale.cloud(self.clock.instant() - self.began) < self.behaviour.start_up {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (caller, inside) = duplex(BUFFER);
        let status = self.behaviour.status;
        tokio::spawn(async move {
            if hangs {
                // Until the caller gives up.
                let mut inside = inside;
                while inside.read(&mut [0; BUFFER]).await.is_ok_and(|bytes| bytes > 0) {}
            } else if let Err(error) = answer(inside, status).await {
                tracing::debug!(%error, "the caller of a page went away");
            }
        });
        Ok(Box::new(caller))
    }
}

async fn answer(mut inside: DuplexStream, status: u16) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(END_OF_HEAD) {
        head.push(inside.read_u8().await?);
    }
    let page = format!(
        "HTTP/1.1 {status} \r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{PAGE}",
        PAGE.len()
    );
    inside.write_all(page.as_bytes()).await?;
    inside.shutdown().await
}

/// Runs until it is told to stop, or ends by itself; gives the exit code.
pub(super) async fn live(
    behaviour: ServiceBehaviour,
    clock: Clock,
    logs: Option<LogStream>,
    body: Body,
) -> i32 {
    if let (Some(text), Some(logs)) = (behaviour.says, logs) {
        logs.put(vec![Line { time: clock.now(), text }]).await;
    }
    let ends = async {
        match behaviour.ends {
            Some((after, code)) => {
                clock.sleep(after).await;
                code
            }
            None => std::future::pending().await,
        }
    };
    select! {
        biased;
        code = ends => code,
        () = body.told_to_stop.cancelled() => {
            clock.sleep(behaviour.resists).await;
            0
        }
    }
}
