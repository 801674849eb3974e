//! What is left of a failed test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use tapping_drivers::pcap::CaptureReader;
use tapping_stack::sim::{Conditions, Probability};
use tapping_stack::time::Instant;

use crate::net::{Pair, Pinger, addr, ms};
use crate::support::Recorder;

/// Records a ping over 10 ms of wire, as a test of that name; `check` may panic.
fn record(name: &str, check: impl FnOnce()) -> (PathBuf, Instant, bool) {
    let conditions =
        Conditions { delay: ms(10), loss: Probability::NEVER, ..Conditions::default() };
    let mut pair = Pair::new(42, conditions).introduced();
    let recorder = Recorder::new(&mut pair.lab, name);
    let path = recorder.path().to_owned();
    let start = pair.lab.now();
    Pinger::new(&mut pair.lab, pair.a, addr(2), 56).send(&mut pair.lab);
    pair.lab.run_for(ms(100));
    let failed = catch_unwind(AssertUnwindSafe(move || {
        let _recorder = recorder;
        check();
    }));
    (path, start, failed.is_err())
}

#[test]
fn a_failed_test_leaves_its_frames_with_their_virtual_times() {
    let (path, start, failed) = record("a failed test", || panic!("as it should"));
    assert!(failed);
    assert!(path.ends_with("a-failed-test-42.pcapng"));
    let mut reader = CaptureReader::open(&path).expect("the capture was left");
    let mut times = Vec::new();
    while let Some(record) = reader.next_record().expect("a well-formed capture") {
        assert_eq!(record.data.len(), 14 + 20 + 8 + 56);
        times.push(Instant::ZERO + record.timestamp.expect("a timestamp"));
    }
    // Sent, received, and the reply.
    assert_eq!(times, [start, start + ms(10), start + ms(10), start + ms(20)]);
    std::fs::remove_file(path).expect("the capture");
}

#[test]
fn a_test_that_passes_leaves_nothing() {
    let (path, _, failed) = record("a test that passes", || ());
    assert!(!failed && !path.exists());
    // Nor what it left when it failed before.
    std::fs::write(&path, "old").expect("a file");
    record("a test that passes", || ());
    assert!(!path.exists());
}
