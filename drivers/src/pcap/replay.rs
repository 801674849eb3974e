//! A capture as a device.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::ethernet::MacAddr;

use super::CaptureReader;
use crate::clock::Clock;
use crate::device::{Device, DeviceConfig, TransmitError};

/// When the frames of a capture come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As far apart as they were recorded.
    Recorded,
    /// As fast as they are taken.
    Fast,
}

/// A pcap or pcapng file whose frames are received in order. What is transmitted vanishes. After
/// the last frame the device is closed.
#[derive(Debug)]
pub struct Replay {
    config: DeviceConfig,
    reader: CaptureReader<BufReader<File>>,
    pace: Option<Paced>,
    open: bool,
}

/// The state of a replay at the recorded pace.
#[derive(Debug)]
struct Paced {
    clock: Clock,
    timer: OwnedFd,
    /// When the first frame came, on our clock and on the file's.
    start: Option<(Instant, Duration)>,
    /// The next frame and when it is due.
    next: Option<(Instant, Packet)>,
}

impl Replay {
    /// Opens a file for replay.
    ///
    /// # Errors
    /// Those of [`CaptureReader::open`] and timerfd_create(2).
    pub fn open(path: impl AsRef<Path>, pace: Pace, config: DeviceConfig) -> io::Result<Self> {
        let reader = CaptureReader::open(path)?;
        let pace = match pace {
            Pace::Fast => None,
            Pace::Recorded => {
                let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
                let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
                // Readable at once, so that whoever polls comes for the first frame.
                arm(&timer, Timespec { tv_sec: 0, tv_nsec: 1 })?;
                Some(Paced { clock: Clock::new(), timer, start: None, next: None })
            }
        };
        Ok(Replay { config, reader, pace, open: true })
    }

    /// Reads the next frame and when it was recorded.
    fn read(&mut self, pool: &mut PacketPool) -> io::Result<Option<(Packet, Option<Duration>)>> {
        match self.reader.next_record() {
            Ok(Some(record)) => {
                let mut packet = pool.take(record.data.len());
                packet.put_slice(record.data);
                Ok(Some((packet, record.timestamp)))
            }
            Ok(None) => {
                self.open = false;
                Ok(None)
            }
            Err(error) => {
                self.open = false;
                Err(error)
            }
        }
    }
}

impl Device for Replay {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn mac(&self) -> MacAddr {
        self.config.mac
    }

    fn mtu(&self) -> usize {
        self.config.mtu
    }

    fn receive(&mut self, pool: &mut PacketPool) -> io::Result<Option<Packet>> {
        if !self.open {
            return Ok(None);
        }
        let Some(mut pace) = self.pace.take() else {
            return Ok(self.read(pool)?.map(|(packet, _)| packet));
        };
        let result = self.receive_paced(&mut pace, pool);
        self.pace = Some(pace);
        result
    }

    fn transmit(&mut self, packet: Packet) -> Result<Option<Packet>, TransmitError> {
        Ok(Some(packet))
    }

    fn raw_fd(&self) -> Option<RawFd> {
        self.pace.as_ref().map(|pace| pace.timer.as_raw_fd())
    }

    fn is_open(&self) -> bool {
        self.open
    }
}

impl Replay {
    fn receive_paced(
        &mut self,
        pace: &mut Paced,
        pool: &mut PacketPool,
    ) -> io::Result<Option<Packet>> {
        let now = pace.clock.now();
        let (due, packet) = match pace.next.take() {
            Some(next) => next,
            None => {
                let Some((packet, recorded)) = self.read(pool)? else { return Ok(None) };
                (pace.due(now, recorded), packet)
            }
        };
        if due <= now {
            return Ok(Some(packet));
        }
        arm(&pace.timer, pace.clock.timespec(due))?;
        pace.next = Some((due, packet));
        Ok(None)
    }
}

impl Paced {
    /// When a frame is due that was recorded at `recorded`; at once without a time of its own.
    fn due(&mut self, now: Instant, recorded: Option<Duration>) -> Instant {
        let Some(recorded) = recorded else { return now };
        let (start, first) = *self.start.get_or_insert((now, recorded));
        start + recorded.saturating_sub(first)
    }
}

/// Makes the timer readable at the absolute time `at`; setting it clears what was readable.
fn arm(timer: &OwnedFd, at: Timespec) -> io::Result<()> {
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let new = Itimerspec { it_interval: never, it_value: at };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &new)?;
    Ok(())
}
