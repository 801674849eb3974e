//! Signals as readable bytes.

use std::io::{self, Read};
use std::ops::BitOrAssign;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::status;

/// Which signals were caught.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// SIGINT, as by Ctrl-C.
    pub interrupt: bool,
    /// SIGTERM.
    pub terminate: bool,
    /// SIGHUP, as by a terminal that closes.
    pub hangup: bool,
    /// SIGQUIT, as by Ctrl-\.
    pub quit: bool,
}

impl Signals {
    /// Whether the process is asked to end: SIGINT, SIGTERM or SIGHUP.
    pub fn is_stop(&self) -> bool {
        self.interrupt || self.terminate || self.hangup
    }
}

impl BitOrAssign for Signals {
    fn bitor_assign(&mut self, other: Self) {
        self.interrupt |= other.interrupt;
        self.terminate |= other.terminate;
        self.hangup |= other.hangup;
        self.quit |= other.quit;
    }
}

/// Handlers that each raise a flag and then write a byte to a socket, which can be polled.
#[derive(Debug)]
pub(crate) struct SignalPipe {
    reader: UnixStream,
    flags: [Arc<AtomicBool>; 4],
    handlers: Vec<SigId>,
}

impl SignalPipe {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let mut pipe = SignalPipe { reader, flags: Default::default(), handlers: Vec::new() };
        // Bit `n - 1` for signal `n`.
        let ignored = status::mask("SigIgn");
        for (signal, flag) in [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().zip(&pipe.flags) {
            // nohup(1) has its command outlive the terminal.
            if signal == SIGHUP && ignored & 1 << (SIGHUP - 1) != 0 {
                continue;
            }
            // In this order: whoever reads the byte finds the flag.
            pipe.handlers.push(signal_hook::flag::register(signal, Arc::clone(flag))?);
            let writer = writer.try_clone()?;
            pipe.handlers.push(signal_hook::low_level::pipe::register(signal, writer)?);
        }
        Ok(pipe)
    }

    /// What was caught since the last time.
    pub(crate) fn take(&mut self) -> Signals {
        let mut bytes = [0; 64];
        // Until there is nothing more, or nothing can be read.
        while matches!(self.reader.read(&mut bytes), Ok(len) if len == bytes.len()) {}
        let [interrupt, terminate, hangup, quit] =
            [0, 1, 2, 3].map(|n| self.flags[n].swap(false, Ordering::SeqCst));
        Signals { interrupt, terminate, hangup, quit }
    }
}

impl AsRawFd for SignalPipe {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
