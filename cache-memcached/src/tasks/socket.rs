//! A socket of tokio's, of either kind, in two halves: the connection's task reads, and callers write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};

use crate::address::Address;

#[derive(Debug)]
pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
}

/// It is used by reference, by whoever has something to write.
#[derive(Debug)]
pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
}

/// Names are resolved each time.
pub(super) async fn connect(address: &Address) -> io::Result<(Reader, Writer)> {
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            Ok((Reader::Tcp(reader), Writer::Tcp(writer)))
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            let (reader, writer) = UnixStream::connect(path).await?.into_split();
            Ok((Reader::Unix(reader), Writer::Unix(writer)))
        }
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::other("this system has no Unix sockets")),
    }
}

impl Reader {
    /// Reads into `room`, which is not empty. How many bytes came; none at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        // Not `try_read`: this one knows from a short read that there is no more, and saves asking.
        let mut room = ReadBuf::new(room);
        let read = match self {
            Reader::Tcp(half) => Pin::new(half).poll_read(cx, &mut room),
            #[cfg(unix)]
            Reader::Unix(half) => Pin::new(half).poll_read(cx, &mut room),
        };
        read.map_ok(|()| room.filled().len())
    }
}

impl Writer {
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writer::Tcp(half) => half.try_write(bytes),
            #[cfg(unix)]
            Writer::Unix(half) => half.try_write(bytes),
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Writer::Tcp(half) => half.writable().await,
            #[cfg(unix)]
            Writer::Unix(half) => half.writable().await,
        }
    }
}
