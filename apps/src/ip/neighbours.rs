//! `ip neigh`.

use std::net::IpAddr;

use super::object::{Json, Object};
use super::{Format, Options};
use crate::control::model::Neighbour;

/// Which neighbours to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub dev: Option<String>,
    pub state: Option<String>,
    pub prefix: Option<(IpAddr, u8)>,
}

impl Wanted {
    fn fits(&self, neighbour: &Neighbour) -> bool {
        let in_prefix = |(network, len)| match (network, neighbour.address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                address.to_bits() & mask == network.to_bits() & mask
            }
            (network, address) => network == address,
        };
        self.dev.as_ref().is_none_or(|dev| *dev == neighbour.dev)
            && self.state.as_ref().is_none_or(|state| *state == neighbour.state)
            && self.prefix.is_none_or(in_prefix)
    }
}

/// The neighbours as text.
pub fn text(neighbours: &[Neighbour], wanted: &Wanted, options: &Options) -> String {
    let mut text = String::new();
    for neighbour in neighbours.iter().filter(|neighbour| wanted.fits(neighbour)) {
        let mac = neighbour.mac.as_deref();
        if options.format == Format::Brief {
            let (address, dev) = (neighbour.address.to_string(), &neighbour.dev);
            text += &format!("{address:<39} {dev:<16} {}\n", mac.unwrap_or_default());
            continue;
        }
        text += &neighbour.address.to_string();
        if wanted.dev.is_none() {
            text += &format!(" dev {}", neighbour.dev);
        }
        if let Some(mac) = mac {
            text += &format!(" lladdr {mac}");
        }
        if options.statistics > 0 {
            let [used, confirmed, updated] = seconds(neighbour);
            // As iproute2 spaces it.
            text += &format!("  used {used}/{confirmed}/{updated}probes {}", neighbour.probes);
        }
        text += &format!(" {} \n", neighbour.state);
    }
    text
}

/// Whole seconds since the neighbour was used, confirmed, changed.
fn seconds(neighbour: &Neighbour) -> [u64; 3] {
    [neighbour.used, neighbour.confirmed, neighbour.updated].map(|micros| micros / 1_000_000)
}

/// The neighbours as JSON.
pub fn json(neighbours: &[Neighbour], wanted: &Wanted, options: &Options) -> Json {
    let fitting = neighbours.iter().filter(|neighbour| wanted.fits(neighbour));
    Json::List(fitting.map(|neighbour| object(neighbour, wanted, options).into()).collect())
}

fn object(neighbour: &Neighbour, wanted: &Wanted, options: &Options) -> Object {
    let dev = wanted.dev.is_none().then(|| neighbour.dev.clone());
    let mut object = Object::default()
        .with("dst", neighbour.address)
        .with_some("dev", dev)
        .with_some("lladdr", neighbour.mac.clone());
    if options.statistics > 0 {
        let [used, confirmed, updated] = seconds(neighbour);
        object = object
            .with("used", used)
            .with("confirmed", confirmed)
            .with("updated", updated)
            .with("probes", neighbour.probes);
    }
    object.with("state", vec![neighbour.state.clone()])
}
