//! What an answer consists of: bytes that are there, and parts of files that are read as they are
//! sent, one chunk at a time.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::files::OpenFile;

/// Bytes of a file that an answer has in memory at once, beside what TCP has taken.
pub const CHUNK: usize = 64 << 10;

/// A body.
#[derive(Default)]
pub struct Answer {
    parts: VecDeque<Part>,
    file: Option<OpenFile>,
    /// A read on another thread.
    pending: Option<Reading>,
}

/// Bytes that another thread reads.
type Reading = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send>>;

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Bytes),
    /// These of the file.
    File(Range<u64>),
}

impl Answer {
    /// A body of bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let parts = VecDeque::from([Part::Bytes(bytes.into())]);
        Answer { parts, ..Answer::default() }
    }

    /// A body of pieces, some of them of this file.
    pub fn parts(file: OpenFile, parts: impl IntoIterator<Item = Part>) -> Self {
        Answer { parts: parts.into_iter().collect(), file: Some(file), pending: None }
    }

    /// Its length.
    pub fn length(&self) -> u64 {
        self.parts.iter().map(Part::length).sum()
    }

    /// Takes what was read off the part that is being sent. A file that has become shorter has
    /// nothing to fill the length with that was promised.
    fn advance(&mut self, read: io::Result<Vec<u8>>) -> io::Result<Bytes> {
        let bytes = read?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(Part::File(range)) = self.parts.front_mut() {
            range.start += bytes.len() as u64;
        }
        Ok(bytes.into())
    }
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File(range) => range.end - range.start,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        loop {
            if let Some(pending) = &mut this.pending {
                let read = ready!(pending.as_mut().poll(cx));
                this.pending = None;
                return Poll::Ready(Some(this.advance(read).map(Frame::data)));
            }
            let (start, len, file) = match (this.parts.front(), &mut this.file) {
                (Some(Part::Bytes(_)), _) => {
                    let Some(Part::Bytes(bytes)) = this.parts.pop_front() else { continue };
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                (Some(Part::File(range)), Some(file)) if !range.is_empty() => {
                    (range.start, (range.end - range.start).min(CHUNK as u64) as usize, file)
                }
                (Some(Part::File(_)), _) => {
                    this.parts.pop_front();
                    continue;
                }
                (None, _) => return Poll::Ready(None),
            };
            match file.try_read(start, len) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    this.pending = Some(Box::pin(file.read(start, len)));
                }
                read => return Poll::Ready(Some(this.advance(read).map(Frame::data))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}
