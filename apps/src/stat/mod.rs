//! `tapping stat`: the counters of a running stack, as `netstat -s`, as nstat(8), for OpenMetrics.

mod openmetrics;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use words::Wanted;

use crate::cli::stat::StatArgs;
use crate::control::model::Counters;
use crate::control::{Client, client};
use crate::failure::Stop;

/// Shows counters.
pub fn run(args: &StatArgs) -> Result<u8, Stop> {
    let Some(mut client) = client::find(args.client.stack.as_deref())? else { return Ok(1) };
    client::answered(show(args, &mut client))
}

fn show(args: &StatArgs, client: &mut Client) -> Result<(), Stop> {
    let counters = client.counters()?;
    let text = if args.openmetrics {
        openmetrics::text(&client.about()?, &counters, &client.links()?)
    } else if args.client.json {
        format!("{}\n", as_json(&counters, wanted(args)))
    } else if args.nstat {
        nstat(&counters, wanted(args), args.zeros)
    } else {
        words::text(&counters, &wanted(args))
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn wanted(args: &StatArgs) -> Wanted {
    let any = args.tcp || args.udp || args.raw;
    Wanted { ip: args.raw || !any, tcp: args.tcp || !any, udp: args.udp || !any, more: !any }
}

/// The counters that are wanted, by group and name.
fn listed(counters: &Counters, wanted: Wanted) -> impl Iterator<Item = (String, u64)> {
    let shown = move |group: &str| match group {
        "Ip" | "Icmp" | "IpExt" => wanted.ip,
        "Tcp" | "TcpExt" => wanted.tcp,
        "Udp" => wanted.udp,
        _ => wanted.more,
    };
    let groups = counters.groups.iter().filter(move |group| shown(&group.name));
    groups.flat_map(|group| {
        group.counters.iter().map(move |(name, value)| (format!("{}{name}", group.name), *value))
    })
}

/// As `nstat -a` prints them; with zeros as `nstat -az`.
fn nstat(counters: &Counters, wanted: Wanted, zeros: bool) -> String {
    let mut text = "#kernel\n".to_string();
    for (name, value) in listed(counters, wanted).filter(|(_, value)| zeros || *value > 0) {
        text += &format!("{name:<32}{value:<16}{:6.1}\n", 0.0);
    }
    text
}

/// As `nstat -j`, and why packets were discarded.
fn as_json(counters: &Counters, wanted: Wanted) -> Value {
    let listed: Map<String, Value> =
        listed(counters, wanted).map(|(name, value)| (name, json!(value))).collect();
    let mut object = json!({ "kernel": listed });
    if wanted.more {
        let drops = counters.drops.iter().map(|(reason, n)| (reason.clone(), json!(n)));
        object["drops"] = Value::Object(drops.collect());
    }
    object
}
