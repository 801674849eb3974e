//! Writing pcapng.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tapping_stack::Capabilities;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::time::Duration;
use tapping_stack::wire::ethernet::MacAddr;

use super::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, LINKTYPE_ETHERNET,
    MAX_FRAME, OPTION_IF_TSRESOL, SECTION_HEADER_BLOCK,
};
use crate::checksum::finish_checksum;
use crate::clock::Clock;
use crate::device::{Device, DeviceChange, TransmitError};
use crate::tap::steering::Steering;

/// Bytes gathered before they are written.
const BUFFER_LEN: usize = 64 * 1024;
/// What was gathered is written at the next frame once it is this old, for those who look at the
/// file meanwhile.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

const OPTION_END: u16 = 0;
const OPTION_SHB_USERAPPL: u16 = 4;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_MACADDR: u16 = 6;
const OPTION_EPB_FLAGS: u16 = 2;
/// Timestamps in units of 10^-9 s.
const NANOSECONDS: u8 = 9;

/// Which way a frame passed, seen from the stack: the two low bits of an Enhanced Packet Block's
/// flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    Inbound = 1,
    /// Transmitted.
    Outbound = 2,
}

/// A pcapng file being written, shared by the devices that are captured into it.
///
/// When writing fails, capturing stops, the file is cut back to its last whole block and
/// [`take_error`](Self::take_error) tells why, once; traffic goes on. What is gathered is written
/// when the last owner is gone.
#[derive(Debug, Clone)]
pub struct CaptureFile {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// Whole blocks not yet written.
    buffer: Vec<u8>,
    /// Bytes of whole blocks in the file.
    written: u64,
    interfaces: u32,
    last_flush: Duration,
    stopped: bool,
    error: Option<io::Error>,
    /// Where the file is, if there was none before.
    made: Option<PathBuf>,
}

impl CaptureFile {
    /// Creates the file, or empties it, and writes the section header.
    ///
    /// # Errors
    /// Those of creating and writing the file. No file is left that was not there before.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let (file, made) = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (File::create(path)?, None)
            }
            result => (result?, Some(path.to_owned())),
        };
        let mut inner = Inner {
            file,
            buffer: Vec::with_capacity(2 * BUFFER_LEN),
            written: 0,
            interfaces: 0,
            last_flush: Clock::wall(),
            stopped: false,
            error: None,
            made,
        };
        inner.block(SECTION_HEADER_BLOCK, |buffer| {
            buffer.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
            // Version 1.0.
            buffer.extend_from_slice(&1u16.to_le_bytes());
            buffer.extend_from_slice(&0u16.to_le_bytes());
            // The section's length is not known.
            buffer.extend_from_slice(&u64::MAX.to_le_bytes());
            option(buffer, OPTION_SHB_USERAPPL, b"tapping");
            option(buffer, OPTION_END, &[]);
        });
        inner.flush();
        match inner.error.take() {
            Some(error) => {
                inner.discard();
                Err(error)
            }
            None => Ok(CaptureFile { inner: Arc::new(Mutex::new(inner)) }),
        }
    }

    /// Describes an Ethernet interface; returns its number in the file.
    pub fn add_interface(&self, name: &str, mac: MacAddr) -> u32 {
        let mut inner = self.lock();
        inner.block(INTERFACE_DESCRIPTION_BLOCK, |buffer| {
            buffer.extend_from_slice(&LINKTYPE_ETHERNET.to_le_bytes());
            buffer.extend_from_slice(&[0; 2]);
            buffer.extend_from_slice(&MAX_FRAME.to_le_bytes());
            option(buffer, OPTION_IF_NAME, name.as_bytes());
            option(buffer, OPTION_IF_MACADDR, &mac.0);
            option(buffer, OPTION_IF_TSRESOL, &[NANOSECONDS]);
            option(buffer, OPTION_END, &[]);
        });
        inner.interfaces += 1;
        inner.interfaces - 1
    }

    /// Appends a frame that passed the interface at `wall` since 1970.
    pub fn write(&self, interface: u32, wall: Duration, direction: Direction, packet: &Packet) {
        self.lock().packet(interface, wall, direction, packet);
    }

    /// Writes what is gathered.
    pub fn flush(&self) {
        self.lock().flush();
    }

    /// Ends capturing and removes the file, unless it was there before
    /// [`create`](Self::create); then it is left as it is now.
    pub fn discard(&self) {
        self.lock().discard();
    }

    /// Why capturing stopped; the first time only.
    pub fn take_error(&self) -> Option<io::Error> {
        self.lock().error.take()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked left at worst a block out.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Appends an Enhanced Packet Block. It stays in the buffer until the next call, so that it
    /// can be taken back.
    fn packet(&mut self, interface: u32, wall: Duration, direction: Direction, packet: &Packet) {
        if self.stopped {
            return;
        }
        if self.buffer.len() >= BUFFER_LEN || wall.saturating_sub(self.last_flush) > FLUSH_INTERVAL
        {
            self.flush();
            self.last_flush = wall;
        }
        let frame = packet.bytes();
        let kept = &frame[..frame.len().min(MAX_FRAME as usize)];
        let nanos = wall.as_nanos() as u64;
        self.block(ENHANCED_PACKET_BLOCK, |buffer| {
            for word in [
                interface,
                (nanos >> 32) as u32,
                nanos as u32,
                kept.len() as u32,
                frame.len() as u32,
            ] {
                buffer.extend_from_slice(&word.to_le_bytes());
            }
            let start = buffer.len();
            buffer.extend_from_slice(kept);
            finish_checksum(&mut buffer[start..], packet.meta.checksum);
            pad(buffer);
            option(buffer, OPTION_EPB_FLAGS, &(direction as u32).to_le_bytes());
            option(buffer, OPTION_END, &[]);
        });
    }

    /// Appends a block: type, total length, body, total length again.
    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        if self.stopped {
            return;
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&kind.to_le_bytes());
        self.buffer.extend_from_slice(&[0; 4]);
        body(&mut self.buffer);
        pad(&mut self.buffer);
        let len = (self.buffer.len() - start + 4) as u32;
        self.buffer[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(&len.to_le_bytes());
    }

    fn discard(&mut self) {
        self.stopped = true;
        if let Some(path) = self.made.take() {
            // What cannot be removed has been removed by somebody else.
            let _ = fs::remove_file(path);
        }
    }

    fn flush(&mut self) {
        let mut done = 0;
        while done < self.buffer.len() && !self.stopped {
            match self.file.write(&self.buffer[done..]) {
                Ok(0) => self.stop(done, io::ErrorKind::WriteZero.into()),
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.stop(done, error),
            }
        }
        self.written += done as u64;
        self.buffer.clear();
    }

    /// Ends capturing. `done` bytes of the buffer were written, perhaps not a whole block, and the
    /// rest of that block is cut off so that readers find a well-formed file.
    fn stop(&mut self, done: usize, error: io::Error) {
        let mut whole = 0;
        while let Some(len) = self.buffer.get(whole + 4..whole + 8) {
            let next = whole + u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize;
            if next > done {
                break;
            }
            whole = next;
        }
        // A pipe or terminal cannot be cut back.
        let _ = self.file.set_len(self.written + whole as u64);
        self.stopped = true;
        self.error = Some(error);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A device whose frames are captured as they pass.
#[derive(Debug)]
pub struct Capture<D> {
    device: D,
    file: CaptureFile,
    interface: u32,
}

impl<D: Device> Capture<D> {
    /// Captures `device` into `file`, under the device's name.
    pub fn new(device: D, file: &CaptureFile) -> Self {
        let interface = file.add_interface(device.name(), device.mac());
        Capture { device, file: file.clone(), interface }
    }

    /// The device.
    pub fn get_ref(&self) -> &D {
        &self.device
    }
}

impl<D: Device> Device for Capture<D> {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn mac(&self) -> MacAddr {
        self.device.mac()
    }

    fn mtu(&self) -> usize {
        self.device.mtu()
    }

    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>> {
        let packet = self.device.receive(pool)?;
        if let Some(packet) = &packet {
            self.file.write(self.interface, Clock::wall(), Direction::Inbound, packet);
        }
        Ok(packet)
    }

    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError> {
        // The packet may be moved away, so it is recorded first and taken back if it did not go.
        let mut file = self.file.lock();
        file.packet(self.interface, Clock::wall(), Direction::Outbound, &packet);
        let end = file.buffer.len();
        let block = file.last_block_len();
        let result = self.device.transmit(packet);
        if result.is_err() {
            file.buffer.truncate(end - block);
        }
        result
    }

    fn truncated(&self) -> u64 {
        self.device.truncated()
    }

    fn raw_fd(&self) -> Option<RawFd> {
        self.device.raw_fd()
    }

    fn room_is_readable(&self) -> bool {
        self.device.room_is_readable()
    }

    fn steering(&self) -> Option<Steering> {
        self.device.steering()
    }

    fn watch_fd(&self) -> Option<RawFd> {
        self.device.watch_fd()
    }

    fn poll_change(&mut self) -> Option<DeviceChange> {
        self.device.poll_change()
    }

    fn is_open(&self) -> bool {
        self.device.is_open()
    }
}

impl Inner {
    /// Length of the block that the buffer ends with; zero when it is empty.
    fn last_block_len(&self) -> usize {
        self.buffer.last_chunk::<4>().map_or(0, |len| u32::from_le_bytes(*len) as usize)
    }
}

/// Appends an option: code, length, value padded to 4 bytes.
fn option(buffer: &mut Vec<u8>, code: u16, value: &[u8]) {
    buffer.extend_from_slice(&code.to_le_bytes());
    buffer.extend_from_slice(&(value.len() as u16).to_le_bytes());
    buffer.extend_from_slice(value);
    pad(buffer);
}

/// Pads to 4 bytes; every block starts at a multiple of 4.
fn pad(buffer: &mut Vec<u8>) {
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}
