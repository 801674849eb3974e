//! Route lookups in tables of 10 to 100,000 routes.
//!
//! `inside`: destinations that a route of the table covers, each time another one, so that a large
//! table does not stay in the nearest cache. `anywhere`: any address; most end at the default
//! route in a small table and at a route of their own in a large one.

use core::net::{IpAddr, Ipv4Addr};
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tapping_stack::packet::LinkId;
use tapping_stack::rng::Rng;
use tapping_stack::route::{Route, RouteTable};
use tapping_stack::wire::cidr::IpCidr;

const SIZES: [usize; 3] = [10, 1_000, 100_000];
/// Destinations looked up in one iteration: more than the branch predictor learns by heart.
const LOOKUPS: usize = 1 << 16;

fn cidr(bits: u32, prefix_len: u8) -> IpCidr {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
    let network = IpAddr::V4(Ipv4Addr::from_bits(bits & mask));
    IpCidr::new(network, prefix_len).expect("at most 32 bits")
}

/// A random unicast address outside 127/8.
fn address(rng: &mut Rng) -> u32 {
    loop {
        let bits = rng.next_u32();
        if !(bits >> 24 == 0 || bits >> 24 == 127 || bits >> 24 >= 224) {
            return bits;
        }
    }
}

/// A prefix length about as often as in the Internet's tables: mostly 24, then 16 to 23.
fn prefix_len(rng: &mut Rng) -> u8 {
    match rng.below(100) {
        0..60 => 24,
        60..95 => 16 + rng.below(8) as u8,
        95..98 => 8 + rng.below(8) as u8,
        _ => 25 + rng.below(8) as u8,
    }
}

/// A host's own routes and `size` random ones, with an address inside each of these.
fn table(size: usize, rng: &mut Rng) -> (RouteTable, Vec<u32>) {
    let mut table = RouteTable::new(size + 8);
    let link = LinkId(2);
    let own = |text: &str| text.parse().expect("a literal");
    for route in [
        Route::local(own("127.0.0.0/8"), LinkId::LOOPBACK),
        Route::local(own("10.0.0.2/32"), link),
        Route::broadcast(own("10.0.0.255/32"), link),
        Route::direct(own("10.0.0.0/24"), link),
        Route::via(own("0.0.0.0/0"), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
    ] {
        table.add(route).expect("the table is empty");
    }
    let mut inside = Vec::with_capacity(size);
    while inside.len() < size {
        let (bits, prefix_len) = (address(rng), prefix_len(rng));
        let gateway = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3 + rng.below(200) as u8));
        if table.add(Route::via(cidr(bits, prefix_len), gateway)).is_ok() {
            inside.push(bits);
        }
    }
    (table, inside)
}

fn lookup(criterion: &mut Criterion) {
    for (name, only_inside) in [("inside", true), ("anywhere", false)] {
        let mut group = criterion.benchmark_group(format!("route/lookup/{name}"));
        group.throughput(Throughput::Elements(LOOKUPS as u64));
        for size in SIZES {
            let mut rng = Rng::new(1);
            let (table, inside) = table(size, &mut rng);
            let destinations: Vec<Ipv4Addr> = (0..LOOKUPS)
                .map(|_| match only_inside {
                    true => inside[rng.below(size as u64) as usize],
                    false => address(&mut rng),
                })
                .map(Ipv4Addr::from_bits)
                .collect();
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| {
                    for destination in &destinations {
                        black_box(table.lookup(*destination, None));
                    }
                });
            });
        }
        group.finish();
    }
}

/// A route added and deleted again.
fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/update");
    for size in SIZES {
        let mut rng = Rng::new(1);
        let (mut table, _) = table(size, &mut rng);
        let gateway = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let routes: Vec<Route> =
            (0..1024).map(|_| Route::via(cidr(address(&mut rng), 26), gateway)).collect();
        let mut next = routes.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let route = next.next().expect("it cycles").clone();
                let selector = (&route).into();
                if table.add(route).is_ok() {
                    black_box(table.delete(&selector).is_ok());
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = tapping_benches::criterion();
    targets = lookup, update
}
criterion_main!(benches);
