//! Discard (RFC 863).

use std::io;

use tapping_drivers::aio::TcpStream;

/// Throws away what comes, until its end.
pub async fn tcp(stream: TcpStream) -> io::Result<()> {
    while stream.read_with(<[u8]>::len).await? > 0 {}
    Ok(())
}
