//! Counters in the text format of OpenMetrics 1.0.

use crate::control::model::{About, Counters, Link};

/// Names of what goes up and down.
const GAUGES: [&str; 1] = ["CurrEstab"];

/// Everything, as one exposition.
pub fn text(about: &About, counters: &Counters, links: &[Link]) -> String {
    let mut text = String::new();
    family(&mut text, "tapping_stack", "info", "The stack that was asked.");
    let labels = [
        ("name", about.name.as_str()),
        ("pid", &about.pid.to_string()),
        ("version", &about.version),
    ];
    sample(&mut text, "tapping_stack_info", &labels, 1);
    for group in &counters.groups {
        for (name, value) in &group.counters {
            let metric = format!("tapping_netstat_{}_{name}", group.name);
            let help = format!("Counter {name} of the group {}.", group.name);
            counter(
                &mut text,
                &metric,
                &help,
                GAUGES.contains(&name.as_str()),
                &[(vec![], *value)],
            );
        }
    }
    let drops = counters.drops.iter();
    let drops: Vec<_> = drops.map(|(reason, n)| (vec![("reason", reason.as_str())], *n)).collect();
    counter(&mut text, "tapping_drops", "Packets discarded, by reason.", false, &drops);
    let sockets = counters.sockets;
    let of = |kind: &'static str, n: usize| (vec![("kind", kind)], n as u64);
    let kinds = [
        of("tcp", sockets.tcp),
        of("time_wait", sockets.time_wait),
        of("request", sockets.requests),
        of("orphan", sockets.orphans),
    ];
    counter(&mut text, "tapping_tcp_sockets", "TCP sockets, by kind.", true, &kinds);
    of_links(&mut text, links);
    text + "# EOF\n"
}

fn of_links(text: &mut String, links: &[Link]) {
    let each = |value: &dyn Fn(&Link) -> u64| -> Vec<_> {
        links.iter().map(|link| (vec![("link", link.name.as_str())], value(link))).collect()
    };
    counter(text, "tapping_link_up", "Whether the link is up.", true, &each(&|l| l.up.into()));
    let mtu = each(&|link| link.mtu as u64);
    counter(text, "tapping_link_mtu_bytes", "Longest IP packet on the link.", true, &mtu);
    let backlog = each(&|link| link.backlog as u64);
    counter(text, "tapping_link_backlog", "Frames that wait for the device.", true, &backlog);
    let Some(first) = links.first() else { return };
    for (n, (name, _)) in first.counters.iter().enumerate() {
        let values = each(&|link| link.counters.get(n).map_or(0, |(_, value)| *value));
        let help = format!("Counter {name} of the link.");
        counter(text, &format!("tapping_link_{name}"), &help, false, &values);
    }
}

/// A family of counters, or of gauges.
fn counter(
    text: &mut String,
    name: &str,
    help: &str,
    gauge: bool,
    samples: &[(Vec<(&str, &str)>, u64)],
) {
    family(text, name, if gauge { "gauge" } else { "counter" }, help);
    let total = if gauge { name.to_string() } else { format!("{name}_total") };
    for (labels, value) in samples {
        sample(text, &total, labels, *value);
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    *text += &format!("# TYPE {name} {kind}\n# HELP {name} {help}\n");
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    *text += name;
    if !labels.is_empty() {
        let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        *text += &format!("{{{}}}", labels.collect::<Vec<_>>().join(","));
    }
    *text += &format!(" {value}\n");
}

/// The value of a label, with what would end it told apart.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
