//! The traits of the futures crates.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{OwnedReadHalf, OwnedWriteHalf, TcpStream};

macro_rules! read {
    ($($name:ty, $self:ident => $stream:expr;)*) => {$(
        impl AsyncRead for $name {
            fn poll_read(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                TcpStream::poll_read($stream, cx, buffer)
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

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close($self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
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
