use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
};

/// A connection to a server, with TLS or without. Small, as it stands amid what each token needs.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    /// Boxed, as its state is some twenty times as large.
    Tls(Box<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>),
}

impl Socket {
    /// Reads what is there, as far as there is room; 0 at the end of the connection.
    pub(crate) fn poll_read(
        &mut self,
        room: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        let read = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut room),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, &mut room),
        };
        read.map_ok(|()| room.filled().len())
    }

    /// Writes what fits, and gives its length.
    pub(crate) fn poll_write(
        &mut self,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    /// Hands on what was written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }
}
