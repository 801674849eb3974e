//! tokio's traits.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{OwnedReadHalf, OwnedWriteHalf, TcpStream};

fn read(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let len = ready!(stream.poll_read(cx, buffer.initialize_unfilled()))?;
    buffer.advance(len);
    Poll::Ready(Ok(()))
}

macro_rules! read {
    ($($name:ty, $self:ident => $stream:expr;)*) => {$(
        impl AsyncRead for $name {
            fn poll_read(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                read($stream, cx, buffer)
            }
        }
    )*};
}

macro_rules! write {
    ($($name:ty, $self:ident => $stream:expr;)*) => {$(
        impl AsyncWrite for $name {
            fn poll_write(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                TcpStream::poll_write($stream, cx, data)
            }

            fn poll_write_vectored(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                TcpStream::poll_write_vectored($stream, cx, data)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown($self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready($stream.shutdown(Shutdown::Write))
            }
        }
    )*};
}

read! {
    TcpStream, self => &self;
    &TcpStream, self => &self;
    OwnedReadHalf, self => self.stream();
}

write! {
    TcpStream, self => &self;
    &TcpStream, self => &self;
    OwnedWriteHalf, self => self.stream();
}
