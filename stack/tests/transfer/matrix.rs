//! Every kind of path, crossed.
//!
//! The parameters are crossed in full when the environment variable `TRANSFER_MATRIX` is `full`;
//! otherwise a sample runs in which any three settings of different parameters occur together.
//! `TRANSFER_SEED` sets another seed than 1. With some the limits do not hold where a fifth is lost in
//! windows of few segments: there a row of lost ACKs is measured as a long round trip, and timeouts
//! grow with it (as Linux's do).

use std::collections::HashSet;
use std::env;

use tapping_stack::Config;
use tapping_stack::TcpOptions;
use tapping_stack::rng::Rng;
use tapping_stack::sim::{Conditions, Lab, Link, Probability, Queue, Reorder};
use tapping_stack::time::Duration;

use crate::flow::{Flow, Plan, run};
use crate::model::Path;
use crate::support::Recorder;

const LOSS: [f64; 5] = [0.0, 0.001, 0.01, 0.05, 0.2];
const DELAY: [u64; 4] = [0, 1, 50, 300];
const BUFFER: [usize; 4] = [4 << 10, 64 << 10, 512 << 10, 4 << 20];
const RATE: u64 = 100_000_000;
/// Which way data goes.
const WAYS: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

/// One setting of each parameter, as an index: loss, reordering, duplication, damage, delay,
/// buffer, direction.
type Cell = [usize; 7];
const SETTINGS: Cell = [LOSS.len(), 2, 2, 2, DELAY.len(), BUFFER.len(), WAYS.len()];

/// All cells, the first parameter changing slowest.
fn product() -> Vec<Cell> {
    let count = SETTINGS.iter().product();
    let cell = |mut index: usize| {
        let mut cell = [0; 7];
        for (setting, count) in cell.iter_mut().zip(SETTINGS).rev() {
            (*setting, index) = (index % count, index / count);
        }
        cell
    };
    (0..count).map(cell).collect()
}

/// All sets of three parameters with their settings in a cell.
fn triples(cell: &Cell) -> impl Iterator<Item = [(usize, usize); 3]> + '_ {
    let of = |n: usize| (n, cell[n]);
    (0..7).flat_map(move |a| {
        (a + 1..7).flat_map(move |b| (b + 1..7).map(move |c| [of(a), of(b), of(c)]))
    })
}

/// Cells in which every three settings occur together.
fn sample() -> Vec<Cell> {
    let mut cells = product();
    let mut rng = Rng::new(1);
    cells.sort_by_cached_key(|_| rng.next_u64());
    let (mut seen, mut sample) = (HashSet::new(), Vec::new());
    // Cells that add much come first.
    for enough in [35, 25, 15, 8, 4, 2, 1] {
        for cell in &cells {
            let new: Vec<_> = triples(cell).filter(|triple| !seen.contains(triple)).collect();
            if new.len() >= enough {
                seen.extend(new);
                sample.push(*cell);
            }
        }
    }
    sample
}

/// Runs the cells with one setting of loss.
fn run_cells(loss: usize) {
    let full = env::var("TRANSFER_MATRIX").is_ok_and(|value| value == "full");
    let cells = if full { product() } else { sample() };
    let seed = env::var("TRANSFER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for cell in cells.iter().filter(|cell| cell[0] == loss) {
        transfer(cell, seed);
    }
}

/// How much is sent each way: less where it would take long.
fn amount(loss: f64, buffer: usize) -> u64 {
    let by_loss = match loss {
        loss if loss > 0.1 => 48 << 10,
        loss if loss > 0.02 => 256 << 10,
        loss if loss > 0.0 => 1 << 20,
        _ => 3 << 20,
    };
    // A few hundred windows at most.
    by_loss.min(256 * buffer as u64)
}

fn transfer(cell: &Cell, seed: u64) {
    let [loss, reorder, duplicate, corrupt, delay, buffer, way] = *cell;
    let (loss, buffer) = (LOSS[loss], BUFFER[buffer]);
    let delay = Duration::from_millis(DELAY[delay]);
    let flag = |set: usize, probability| Probability::new(set as f64 * probability);
    let conditions = Conditions {
        delay,
        loss: Probability::new(loss),
        reorder: Reorder::Random {
            probability: flag(reorder, 0.05),
            hold: delay / 2 + Duration::from_millis(1),
        },
        duplicate: flag(duplicate, 0.02),
        corrupt: flag(corrupt, 0.005),
        rate: Some(RATE),
        queue: Queue::Frames(1000),
        ..Conditions::default()
    };
    let mut lab = Lab::new(seed);
    let client = lab.add_host("client", Config::default());
    let server = lab.add_host("server", Config::default());
    let ends = [(client, "10.0.0.1/24"), (server, "10.0.0.2/24")];
    let [a, b] = ends.map(|(host, cidr)| (host, cidr.parse().expect("an address")));
    let wire = lab.connect(a, b, Link::new(conditions)).expect("a wire");
    // Damage in ARP messages would go unnoticed and teach wrong addresses.
    lab.introduce(wire).expect("room for neighbours");
    let name = cell.map(|setting| setting.to_string()).join("");
    let _recorder = Recorder::new(&mut lab, &format!("transfer-{name}"));

    let bytes = amount(loss, buffer);
    let (up, down) = WAYS[way];
    let plan = Plan {
        client,
        server,
        addr: [10, 0, 0, 2].into(),
        port: 5001,
        up: u64::from(up) * bytes,
        down: u64::from(down) * bytes,
        options: TcpOptions {
            send_buffer: Some(buffer),
            receive_buffer: Some(buffer),
            ..TcpOptions::default()
        },
    };
    let path = Path {
        rtt: 2 * delay,
        rate: RATE,
        loss: 1.0 - (1.0 - loss) * (1.0 - corrupt as f64 * 0.005),
        window: buffer as u64,
    };
    let mut flows = [Flow::start(&mut lab, plan)];
    let took = run(&mut lab, &mut flows, path.patience());
    // Reordering passes for loss until the sender has learnt of it.
    let fraction = if reorder == 1 { 0.2 } else { 0.4 };
    let limit = path.time(bytes, fraction);
    assert!(took <= limit, "{bytes} bytes took {took:?}, not {limit:?}: {conditions:?} {plan:?}");
}

#[test]
fn without_loss() {
    run_cells(0);
}

#[test]
fn with_a_thousandth_lost() {
    run_cells(1);
}

#[test]
fn with_a_hundredth_lost() {
    run_cells(2);
}

#[test]
fn with_a_twentieth_lost() {
    run_cells(3);
}

#[test]
fn with_a_fifth_lost() {
    run_cells(4);
}

#[test]
fn the_sample_has_any_three_settings_together() {
    let all: HashSet<_> = product().iter().flat_map(triples).collect();
    let sample = sample();
    assert_eq!(sample.iter().flat_map(triples).collect::<HashSet<_>>(), all);
    assert!(sample.len() < 250, "{} of {} cells", sample.len(), product().len());
}
