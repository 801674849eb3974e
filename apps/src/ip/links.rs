//! `ip link` and `ip addr`.

use super::object::{Json, Object};
use super::{Format, Options};
use crate::control::model::{Address, Link};

/// The longest time that there is; addresses are valid for ever.
const FOREVER: u32 = u32::MAX;

/// What to list of links.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub dev: Option<String>,
    pub up: bool,
    /// Addresses, too.
    pub addresses: bool,
}

impl Wanted {
    fn fits(&self, link: &Link) -> bool {
        self.dev.as_ref().is_none_or(|dev| *dev == link.name) && (!self.up || link.up)
    }
}

/// The links as text.
pub fn text(links: &[Link], wanted: &Wanted, options: &Options) -> String {
    let mut text = String::new();
    for link in links.iter().filter(|link| wanted.fits(link)) {
        let lines = match options.format {
            Format::Brief => vec![brief(link, wanted)],
            Format::Oneline if wanted.addresses => oneline(link),
            Format::Oneline => vec![full(link, wanted, options).join("\\")],
            Format::Full | Format::Json { .. } => full(link, wanted, options),
        };
        lines.iter().for_each(|line| text += &format!("{line}\n"));
    }
    text
}

/// The links as JSON.
pub fn json(links: &[Link], wanted: &Wanted, options: &Options) -> Json {
    let fitting = links.iter().filter(|link| wanted.fits(link));
    match options.format {
        Format::Json { brief: true, .. } => {
            Json::List(fitting.map(|link| brief_object(link, wanted).into()).collect())
        }
        _ => Json::List(fitting.map(|link| object(link, wanted, options).into()).collect()),
    }
}

/// Flags in the order of iproute2.
fn flags(link: &Link) -> Vec<String> {
    let kind: &[&str] = match link.kind.as_str() {
        "loopback" => &["LOOPBACK"],
        "ether" => &["BROADCAST", "MULTICAST"],
        _ => &["POINTOPOINT", "MULTICAST", "NOARP"],
    };
    let promiscuous = link.promiscuous.then_some("PROMISC");
    let up: &[&str] = if link.up { &["UP", "LOWER_UP"] } else { &[] };
    kind.iter().copied().chain(promiscuous).chain(up.iter().copied()).map(Into::into).collect()
}

fn state(link: &Link) -> &'static str {
    match (link.up, link.kind.as_str()) {
        (false, _) => "DOWN",
        // Of these nobody can tell.
        (true, "loopback" | "none") => "UNKNOWN",
        (true, _) => "UP",
    }
}

/// The loopback has no queue; a device's is first in, first out.
fn qdisc(link: &Link) -> &'static str {
    if link.kind == "loopback" { "noqueue" } else { "pfifo" }
}

/// The link-layer address and that of everybody; the loopback's are zero.
fn macs(link: &Link) -> Option<(String, &'static str)> {
    match (&link.mac, link.kind.as_str()) {
        (Some(mac), _) => Some((mac.clone(), "ff:ff:ff:ff:ff:ff")),
        (None, "loopback") => Some(("00:00:00:00:00:00".into(), "00:00:00:00:00:00")),
        (None, _) => None,
    }
}

fn full(link: &Link, wanted: &Wanted, options: &Options) -> Vec<String> {
    let mode = if wanted.addresses { "" } else { " mode DEFAULT" };
    let mut lines = vec![format!(
        "{}: {}: <{}> mtu {} qdisc {} state {}{mode} group default qlen {}",
        link.ifindex,
        link.name,
        flags(link).join(","),
        link.mtu,
        qdisc(link),
        state(link),
        link.txqlen,
    )];
    // With -4 addresses are all that is asked for.
    if !(wanted.addresses && options.ipv4) {
        let mut line = match macs(link) {
            Some((own, all)) => format!("    link/{} {own} brd {all}", link.kind),
            None => format!("    link/{} ", link.kind),
        };
        if options.details {
            line += &details(link);
        }
        lines.push(line);
    }
    if wanted.addresses {
        for address in &link.addresses {
            lines.push(format!("    {}", inet(link, address)));
            lines.push("       valid_lft forever preferred_lft forever".to_string());
        }
    }
    if options.statistics > 0 {
        lines.extend(statistics(link, options.statistics > 1));
    }
    lines
}

fn details(link: &Link) -> String {
    format!(
        " promiscuity {} gso_max_size {} tx-checksum {} backlog {}",
        u8::from(link.promiscuous),
        link.max_gso_size,
        if link.tx_checksum { "on" } else { "off" },
        link.backlog,
    )
}

fn inet(link: &Link, address: &Address) -> String {
    let mut text = format!("inet {}/{}", address.local, address.prefix_len);
    if let Some(broadcast) = address.broadcast {
        text += &format!(" brd {broadcast}");
    }
    text += &format!(" scope {}", scope(link));
    for (set, word) in [(address.secondary, " secondary"), (address.tentative, " tentative")] {
        text += if set { word } else { "" };
    }
    text + " " + &link.name
}

fn scope(link: &Link) -> &'static str {
    if link.kind == "loopback" { "host" } else { "global" }
}

fn oneline(link: &Link) -> Vec<String> {
    let line = |address: &Address| {
        format!(
            "{}: {}    {}\\       valid_lft forever preferred_lft forever",
            link.ifindex,
            link.name,
            inet(link, address)
        )
    };
    link.addresses.iter().map(line).collect()
}

fn brief(link: &Link, wanted: &Wanted) -> String {
    let mut text = format!("{:<16} {:<14} ", link.name, state(link));
    if wanted.addresses {
        for address in &link.addresses {
            text += &format!("{}/{} ", address.local, address.prefix_len);
        }
        return text;
    }
    if let Some((own, _)) = macs(link) {
        text += &format!("{own} ");
    }
    text + &format!("<{}> ", flags(link).join(","))
}

fn counter(link: &Link, name: &str) -> u64 {
    link.counters.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
}

/// Counters in columns; those that the stack has none of are zero.
fn statistics(link: &Link, errors: bool) -> Vec<String> {
    let get = |name: &str| counter(link, name);
    let rx = [
        get("rx_bytes"),
        get("rx_packets"),
        get("rx_errors"),
        get("rx_dropped") + get("rx_otherhost_dropped"),
        0,
        get("multicast"),
    ];
    let tx = [get("tx_bytes"), get("tx_packets"), 0, get("tx_dropped"), 0, 0];
    let mut widths = [10, 7, 6, 7, 7, 7];
    for row in [&rx, &tx] {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = value.to_string().len().max(*width);
        }
    }
    let titles = |side: &str, names: [&str; 6]| {
        let mut line = format!("    {side}:");
        for (n, (name, width)) in names.iter().zip(widths).enumerate() {
            // The first column is shared with the name of the side.
            let width = if n == 0 { width - 4 } else { width };
            line += &format!(" {name:>width$}");
        }
        line + &" ".repeat(11)
    };
    let values = |row: &[u64; 6]| {
        let cells = row.iter().zip(widths).map(|(value, width)| format!("{value:>width$} "));
        format!("    {}", cells.collect::<String>())
    };
    let mut lines = vec![
        titles("RX", ["bytes", "packets", "errors", "dropped", "missed", "mcast"]),
        values(&rx),
    ];
    if errors {
        lines.push("    RX errors:  length    crc   frame    fifo overrun".into());
        lines.push(format!("    {:>18} {:>6} {:>7} {:>7} {:>7} ", get("rx_errors"), 0, 0, 0, 0));
    }
    lines.push(titles("TX", ["bytes", "packets", "errors", "dropped", "carrier", "collsns"]));
    lines.push(values(&tx));
    if errors {
        lines.push("    TX errors: aborted   fifo  window heartbt transns".into());
        lines.push(format!("    {:>18} {:>6} {:>7} {:>7} {:>7} ", 0, 0, 0, 0, 0));
    }
    lines
}

fn brief_object(link: &Link, wanted: &Wanted) -> Object {
    let object =
        Object::default().with("ifname", link.name.as_str()).with("operstate", state(link));
    if wanted.addresses {
        let addresses = link.addresses.iter().map(|address| {
            Object::default()
                .with("local", address.local)
                .with("prefixlen", address.prefix_len)
                .into()
        });
        return object.with("addr_info", addresses.collect::<Vec<Json>>());
    }
    object.with_some("address", macs(link).map(|(own, _)| own)).with("flags", flags(link))
}

fn object(link: &Link, wanted: &Wanted, options: &Options) -> Object {
    let mut object = Object::default()
        .with("ifindex", link.ifindex)
        .with("ifname", link.name.as_str())
        .with("flags", flags(link))
        .with("mtu", link.mtu)
        .with("qdisc", qdisc(link))
        .with("operstate", state(link));
    if !wanted.addresses {
        object = object.with("linkmode", "DEFAULT");
    }
    object = object.with("group", "default").with("txqlen", link.txqlen);
    if !(wanted.addresses && options.ipv4) {
        let macs = macs(link);
        object = object
            .with("link_type", link.kind.as_str())
            .with_some("address", macs.as_ref().map(|(own, _)| own.clone()))
            .with_some("broadcast", macs.map(|(_, all)| all));
    }
    if wanted.addresses {
        let addresses = link.addresses.iter().map(|address| address_object(link, address).into());
        object = object.with("addr_info", addresses.collect::<Vec<Json>>());
    }
    if options.statistics > 0 {
        object = object.with("stats64", statistics_object(link));
    }
    object
}

fn address_object(link: &Link, address: &Address) -> Object {
    let set = |set: bool| set.then_some(true);
    Object::default()
        .with("family", "inet")
        .with("local", address.local)
        .with("prefixlen", address.prefix_len)
        .with_some("broadcast", address.broadcast)
        .with("scope", scope(link))
        .with_some("secondary", set(address.secondary))
        .with_some("tentative", set(address.tentative))
        .with("label", link.name.as_str())
        .with("valid_life_time", FOREVER)
        .with("preferred_life_time", FOREVER)
}

fn statistics_object(link: &Link) -> Object {
    let get = |name: &str| counter(link, name);
    let rx = Object::default()
        .with("bytes", get("rx_bytes"))
        .with("packets", get("rx_packets"))
        .with("errors", get("rx_errors"))
        .with("dropped", get("rx_dropped") + get("rx_otherhost_dropped"))
        .with("over_errors", 0u64)
        .with("multicast", get("multicast"));
    let tx = Object::default()
        .with("bytes", get("tx_bytes"))
        .with("packets", get("tx_packets"))
        .with("errors", 0u64)
        .with("dropped", get("tx_dropped"))
        .with("carrier_errors", 0u64)
        .with("collisions", 0u64);
    Object::default().with("rx", rx).with("tx", tx)
}
