//! The frames of a failed test, kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use tapping_drivers::pcap::{CaptureFile, Direction};
use tapping_stack::sim::{HostId, Lab, Passage, Sighting, Tap};
use tapping_stack::time::{Duration, Instant};

/// Captures every frame of a lab while it lives. When the test panics, it prints the lab's seed and
/// leaves a pcapng file whose timestamps are the lab's time since 1970; otherwise nothing is left.
pub struct Recorder {
    file: CaptureFile,
    path: PathBuf,
    seed: u64,
}

impl Recorder {
    /// Starts recording. `name` and the seed make the file's name.
    pub fn new(lab: &mut Lab, name: &str) -> Self {
        let seed = lab.seed();
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}.pcapng"));
        // What an earlier failure left; mostly there is none.
        let _ = fs::remove_file(&path);
        let file = CaptureFile::create(&path).expect("a capture in the target directory");
        let interfaces = HashMap::new();
        lab.set_tap(Some(Box::new(Writer { file: file.clone(), interfaces })));
        Recorder { file, path, seed }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if thread::panicking() {
            self.file.flush();
            eprintln!("seed {}; the frames are in {}", self.seed, self.path().display());
        } else {
            self.file.discard();
        }
    }
}

/// Writes what each link sends and receives.
struct Writer {
    file: CaptureFile,
    /// The number in the file of each host's link.
    interfaces: HashMap<(HostId, usize), u32>,
}

impl Tap for Writer {
    fn see(&mut self, sighting: &Sighting<'_>) {
        let direction = match sighting.passage {
            Passage::Sent => Direction::Outbound,
            Passage::Received => Direction::Inbound,
            Passage::Dropped(_) => return,
        };
        let Sighting { host, host_name, port, mac, .. } = *sighting;
        let name = || format!("{host_name}/eth{port}");
        let interface = *self
            .interfaces
            .entry((host, port))
            .or_insert_with(|| self.file.add_interface(&name(), mac));
        self.file.write(interface, since_epoch(sighting.at), direction, sighting.packet);
    }
}

fn since_epoch(at: Instant) -> Duration {
    at - Instant::ZERO
}
