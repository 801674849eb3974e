//! TCP against adversaries that seeds decide on; the fuzz targets `tcp` and `tcp_pair` are the same
//! scripts with bytes that a fuzzer chooses. A failure prints its seed.

mod scripts;

use scripts::{endpoint, pair, random};

/// Says which seed failed.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// The seeds to run, or the one that `SEED` names.
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => default,
    }
}

#[test]
fn data_is_intact_or_an_error_is_reported_whatever_the_link_does() {
    for seed in seeds(0..250) {
        let _announce = Announce(seed);
        pair::run(&random(seed, 600));
    }
}

#[test]
fn an_endpoint_survives_whatever_arrives() {
    for seed in seeds(0..250) {
        let _announce = Announce(seed);
        endpoint::run(&random(seed, 1500));
    }
}

#[test]
fn the_same_script_ends_the_same() {
    for seed in seeds(1000..1010) {
        let _announce = Announce(seed);
        let script = random(seed, 400);
        assert_eq!(pair::run(&script), pair::run(&script));
        assert_eq!(endpoint::run(&script), endpoint::run(&script));
    }
}
