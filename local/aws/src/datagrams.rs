//! UDP that is passed on: what comes from one address and port is a flow of its own, until nobody has said anything for a
//! while.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::{select, time};
use tokio_util::codec::LengthDelimitedCodec;

/// The largest datagram (RFC 768: the length has 16 bits).
pub const LARGEST: usize = 65_535;

/// How many datagrams of a flow wait to be passed on. What is more is lost, as it may be anywhere on its way.
const WAITING: usize = 64;

/// Where datagrams are passed on to.
pub trait FarEnd: Send {
    /// Passes one on.
    fn send(&mut self, datagram: &[u8]) -> impl Future<Output = io::Result<()>> + Send;

    /// The next answer. Whoever stops waiting loses none.
    fn receive(&mut self) -> impl Future<Output = io::Result<Bytes>> + Send;
}

/// A socket that is connected to whom it sends.
impl FarEnd for UdpSocket {
    async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        heard(UdpSocket::send(self, datagram).await).map(|_| ())
    }

    async fn receive(&mut self) -> io::Result<Bytes> {
        let mut buffer = vec![0; LARGEST];
        loop {
            // That nobody listens is told later, and to one who sends again.
            if let Some(length) = heard(self.recv(&mut buffer).await)? {
                return Ok(Bytes::copy_from_slice(&buffer[..length]));
            }
        }
    }
}

/// A stream of datagrams, each after its length.
pub type Framed<T> = tokio_util::codec::Framed<T, LengthDelimitedCodec>;

/// Datagrams in a stream.
pub fn framed<T: AsyncRead + AsyncWrite>(stream: T) -> Framed<T> {
    let codec =
        LengthDelimitedCodec::builder().length_field_type::<u16>().max_frame_length(LARGEST).new_codec();
    Framed::new(stream, codec)
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> FarEnd for Framed<T> {
    async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        SinkExt::<&[u8]>::send(self, datagram).await
    }

    async fn receive(&mut self) -> io::Result<Bytes> {
        let datagram = self.next().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
        Ok(datagram?.freeze())
    }
}

/// Nothing where the other side has said, by ICMP, that nobody listens there: a caller on AWS does not hear it either, since
/// flows end by silence alone.
fn heard<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        result => result.map(Some),
    }
}

/// What one address sends to a socket, and the way back to it.
pub struct Flow {
    /// Who calls.
    pub from: SocketAddr,
    socket: Arc<UdpSocket>,
    incoming: mpsc::Receiver<Bytes>,
}

impl Flow {
    /// Passes datagrams on to `there`, and answers back, until there has been none for so long.
    ///
    /// # Errors
    /// When one cannot be passed on.
    pub async fn relay(mut self, mut there: impl FarEnd, idle: Duration) -> io::Result<()> {
        loop {
            select! {
                biased;
                datagram = self.incoming.recv() => match datagram {
                    Some(datagram) => there.send(&datagram).await?,
                    None => return Ok(()),
                },
                answer = there.receive() => {
                    self.socket.send_to(&answer?, self.from).await?;
                }
                () = time::sleep(idle) => return Ok(()),
            }
        }
    }
}

/// Hands each flow that begins at `socket` to `serve`, for ever. What it leaves unread is dropped, and whoever calls again
/// begins another flow.
pub async fn keep<Served>(socket: UdpSocket, serve: impl Fn(Flow) -> Served)
where
    Served: Future<Output = ()> + Send + 'static,
{
    let socket = Arc::new(socket);
    let mut flows: HashMap<SocketAddr, mpsc::Sender<Bytes>> = HashMap::new();
    let mut served = JoinSet::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "a datagram could not be taken");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Those that are over are forgotten.
        while served.try_join_next().is_some() {}
        flows.retain(|_, flow| !flow.is_closed());
        let flow = flows.entry(from).or_insert_with(|| {
            let (sender, incoming) = mpsc::channel(WAITING);
            served.spawn(serve(Flow { from, socket: socket.clone(), incoming }));
            sender
        });
        let _ = flow.try_send(Bytes::copy_from_slice(&buffer[..length]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:0";

    async fn connected(to: SocketAddr) -> UdpSocket {
        let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
        socket.connect(to).await.unwrap();
        socket
    }

    async fn ask(socket: &UdpSocket, question: &str) -> String {
        socket.send(question.as_bytes()).await.unwrap();
        let mut buffer = [0; 64];
        let length = time::timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// Answers with the question and the port that it came from.
    async fn echo() -> SocketAddr {
        let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = String::from_utf8_lossy(&buffer[..length]);
                socket.send_to(format!("{question} {}", from.port()).as_bytes(), from).await.unwrap();
            }
        });
        address
    }

    async fn relay_to(there: SocketAddr, idle: Duration) -> SocketAddr {
        let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
        let address = socket.local_addr().unwrap();
        let serve = move |flow: Flow| async move { flow.relay(connected(there).await, idle).await.unwrap() };
        tokio::spawn(keep(socket, serve));
        address
    }

    #[tokio::test]
    async fn each_caller_has_a_flow_of_its_own_which_lasts_until_it_is_silent() {
        let door = relay_to(echo().await, Duration::from_mins(1)).await;
        let (first, second) = (connected(door).await, connected(door).await);
        let answer = ask(&first, "a").await;
        assert_eq!(ask(&first, "a").await, answer, "the same flow");
        assert_ne!(ask(&second, "a").await, answer, "another one");
    }

    #[tokio::test]
    async fn a_flow_that_was_silent_is_followed_by_another() {
        let there = UdpSocket::bind(LOOPBACK).await.unwrap();
        let caller = connected(relay_to(there.local_addr().unwrap(), Duration::ZERO).await).await;
        let mut first = None;
        loop {
            caller.send(b"a").await.unwrap();
            let (_, from) = there.recv_from(&mut [0; 64]).await.unwrap();
            if *first.get_or_insert(from) != from {
                break;
            }
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_is_answered_and_somebody_may_listen_later() {
        let closed = UdpSocket::bind(LOOPBACK).await.unwrap();
        let there = closed.local_addr().unwrap();
        drop(closed);
        let door = relay_to(there, Duration::from_mins(1)).await;
        let caller = connected(door).await;
        caller.send(b"lost").await.unwrap();
        caller.send(b"lost").await.unwrap();
        let open = UdpSocket::bind(there).await.unwrap();
        let mut buffer = [0; 64];
        caller.send(b"heard").await.unwrap();
        loop {
            let (length, _) = open.recv_from(&mut buffer).await.unwrap();
            if &buffer[..length] == b"heard" {
                break;
            }
        }
    }
}
