//! Connections that carry so many bytes a second and no more, each way, so that what is measured against them is not this
//! machine's loopback.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use local_aws::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};

/// How much of a second's bytes passes at once.
const TICKS: u64 = 50;

/// A listener whose connections have a limit, or none.
pub struct Throttled {
    pub listener: TcpListener,
    pub clock: Clock,
    /// Bytes a second, in real time.
    pub rate: Option<NonZeroU64>,
}

impl Listener for Throttled {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Head and body of an answer are written apart; without this the second waits for the other side's acknowledgement.
        let _ = stream.set_nodelay(true);
        let way = || Way { clock: self.clock, rate: self.rate, next: None };
        (Connection { stream, down: way(), up: way() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

pub struct Connection {
    stream: TcpStream,
    down: Way,
    up: Way,
}

/// One direction of a connection.
struct Way {
    clock: Clock,
    rate: Option<NonZeroU64>,
    /// When the next bytes may pass.
    next: Option<Pin<Box<Sleep>>>,
}

impl Way {
    /// How many of `wanted` bytes may pass now.
    fn poll_allowed(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        let Some(rate) = self.rate else { return Poll::Ready(wanted) };
        if let Some(next) = &mut self.next {
            ready!(next.as_mut().poll(context));
        }
        let most = usize::try_from(rate.get().div_ceil(TICKS)).unwrap_or(usize::MAX);
        Poll::Ready(wanted.min(most))
    }

    /// Notes that so many have passed. Whoever was idle does not make up for it.
    fn passed(&mut self, bytes: usize) {
        let Some(rate) = self.rate.filter(|_| bytes > 0) else { return };
        let now = self.clock.instant();
        let due =
            self.next.as_ref().map_or(now, |next| next.deadline().max(now - Duration::from_secs(1) / 50));
        let nanoseconds = (bytes as u64).saturating_mul(1_000_000_000) / rate;
        let next: Instant = due + Duration::from_nanos(nanoseconds);
        match &mut self.next {
            Some(sleep) => sleep.as_mut().reset(next),
            None => self.next = Some(Box::pin(sleep_until(next))),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.up.rate.is_none() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let allowed = ready!(this.up.poll_allowed(context, buffer.remaining()));
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(allowed));
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        this.up.passed(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let allowed = ready!(this.down.poll_allowed(context, bytes.len()));
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, &bytes[..allowed]))?;
        this.down.passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
