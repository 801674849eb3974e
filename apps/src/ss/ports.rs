//! Names of ports, from /etc/services.

use std::collections::HashMap;
use std::fs;

/// Ports that connections choose themselves have no names (Linux `ip_local_port_range`).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// The names of ports.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// By port and protocol.
    names: HashMap<(u16, String), String>,
    numbers: HashMap<String, u16>,
}

impl Ports {
    /// As the system has them; none where it has none.
    pub fn of_system() -> Self {
        Ports::parse(&fs::read_to_string("/etc/services").unwrap_or_default())
    }

    /// From the text of services(5).
    pub fn parse(text: &str) -> Self {
        let mut ports = Ports::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
            let Some((port, protocol)) = port.split_once('/') else { continue };
            let Ok(port) = port.parse() else { continue };
            let key = (port, protocol.to_string());
            ports.names.entry(key).or_insert_with(|| name.to_string());
            for name in [name].into_iter().chain(words) {
                ports.numbers.entry(name.to_string()).or_insert(port);
            }
        }
        ports
    }

    /// A port's name among those of a protocol.
    pub fn name(&self, port: u16, protocol: &str) -> Option<&str> {
        if EPHEMERAL.contains(&port) {
            return None;
        }
        self.names.get(&(port, protocol.to_string())).map(String::as_str)
    }

    /// The port of a name.
    pub fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }
}
