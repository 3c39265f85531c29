//! The network of a container that is called: a namespace of its own, so that any number of them may listen on port 80 of
//! all addresses. Its init process makes it, without root (user_namespaces(7), network_namespaces(7)), and keeps its *door*:
//! a Unix socket, which no network namespace hides, and through which connections come in.
//!
//! Nothing leads out of it, not even to what the task finds at its link-local addresses on AWS. A job's container has none
//! of this: it keeps the machine's network, since its worker calls MiniStack.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::Path;

use anyhow::{Context as _, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use local_aws::datagrams::{self, LARGEST};
use local_aws::reach::Transport;
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use nix::unistd::{getgid, getuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::select;

/// Where connections from outside arrive. It is not 127.0.0.1: a program that listens there alone is not reached from
/// outside its task on AWS either.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The loopback interface is the first of every namespace.
const LOOPBACK: i32 = 1;

/// Of linux/netlink.h and linux/if.h.
const NLM_F_REQUEST_AND_ACK: u16 = 1 | 4;
const IFF_UP: u32 = 1;

/// What the door answers where somebody listens; of UDP, always.
const CONNECTED: u8 = 1;

/// What the door is asked for after the port.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Gives this process, which has one thread yet, a network of its own, and opens its door.
pub(super) fn create(door: &Path) -> anyhow::Result<BlockingListener> {
    let (user, group) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(refused)?;
    // Root of the namespace, as in most images; it may listen on any port. Who has no rights outside may map nobody but
    // itself, and only without setgroups(2).
    for (file, map) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        let path = Path::new("/proc/self").join(file);
        fs::write(&path, map).with_context(|| format!("cannot write {}", path.display()))?;
    }
    open(door)
}

/// Opens the door of a network that this process has just been given.
pub(super) fn open(door: &Path) -> anyhow::Result<BlockingListener> {
    bring_up_loopback().context("the loopback interface of a new network cannot be brought up")?;
    BlockingListener::bind(door).with_context(|| format!("cannot listen on {}", door.display()))
}

pub(super) fn refused(error: Errno) -> anyhow::Error {
    anyhow::anyhow!(
        "the kernel of this machine gives no network of its own to a container that is called ({error}): it takes user \
         namespaces without root, see the sysctls kernel.unprivileged_userns_clone, user.max_user_namespaces and \
         kernel.apparmor_restrict_unprivileged_userns"
    )
}

/// Asks for it as `ip link set lo up` does: rtnetlink(7).
fn bring_up_loopback() -> anyhow::Result<()> {
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkRoute);
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let up = IFF_UP.to_ne_bytes();
    // Length, type, flags, sequence number, sender; then family, type, index, flags, and which flags change.
    let request = [
        32_u32.to_ne_bytes().as_slice(),
        &libc::RTM_NEWLINK.to_ne_bytes(),
        &NLM_F_REQUEST_AND_ACK.to_ne_bytes(),
        &[0; 8],
        &[0; 4],
        &LOOPBACK.to_ne_bytes(),
        &up,
        &up,
    ]
    .concat();
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 128];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // An acknowledgement is an error message whose error, after the 16 bytes of the header, is 0.
    ensure!(length >= 20, "the kernel answered with {length} bytes");
    let error = i32::from_ne_bytes(answer[16..20].try_into()?);
    ensure!(error == 0, Errno::from_raw(-error));
    Ok(())
}

/// Enters the network of `process`, as a process of one thread.
pub(super) fn enter(process: &str) -> anyhow::Result<()> {
    for (kind, flag) in [("user", CloneFlags::CLONE_NEWUSER), ("net", CloneFlags::CLONE_NEWNET)] {
        let path = format!("/proc/{process}/ns/{kind}");
        let namespace = fs::File::open(&path).with_context(|| format!("cannot open {path}"))?;
        setns(namespace, flag).with_context(|| format!("cannot enter {path}"))?;
    }
    Ok(())
}

/// Lets connections in, for ever: each says its port and protocol, is told whether somebody listens there, and is relayed.
/// That of UDP is one flow of datagrams.
pub(super) async fn keep(door: BlockingListener) -> anyhow::Result<()> {
    door.set_nonblocking(true)?;
    let door = UnixListener::from_std(door)?;
    loop {
        let (visitor, _) = door.accept().await?;
        tokio::spawn(let_in(visitor));
    }
}

async fn let_in(mut visitor: UnixStream) -> io::Result<()> {
    let port = visitor.read_u16().await?;
    if visitor.read_u8().await? == UDP {
        visitor.write_u8(CONNECTED).await?;
        return pass_datagrams(visitor, port).await;
    }
    let mut inside = TcpStream::connect((OUTSIDE, port)).await?;
    visitor.write_u8(CONNECTED).await?;
    copy_bidirectional(&mut visitor, &mut inside).await?;
    Ok(())
}

/// The answers come from 127.0.0.1 where a program listens at all addresses and does not say which one it answers from, as a
/// task on AWS, which has one address, need not; so the port alone tells them.
async fn pass_datagrams(visitor: UnixStream, port: u16) -> io::Result<()> {
    let inside = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let mut outside = datagrams::framed(visitor);
    let mut buffer = vec![0; LARGEST];
    loop {
        select! {
            biased;
            datagram = outside.next() => match datagram {
                Some(datagram) => _ = inside.send_to(&datagram?, (OUTSIDE, port)).await?,
                None => return Ok(()),
            },
            answer = inside.recv_from(&mut buffer) => {
                let (length, from) = answer?;
                if from.port() == port {
                    outside.send(&buffer[..length]).await?;
                }
            }
        }
    }
}

/// Goes through the door to a port.
pub(super) async fn connect(door: &Path, transport: Transport, port: u16) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(door).await?;
    stream.write_u16(port).await?;
    stream
        .write_u8(match transport {
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
        })
        .await?;
    match stream.read_u8().await {
        Ok(CONNECTED) => Ok(stream),
        _ => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}
