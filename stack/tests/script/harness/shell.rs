//! The shell commands in packetdrill's scripts: settings, and questions about counters.

/// `net.ipv4` as the scripts of Linux's own tests set it first (their `defaults.sh`).
const DEFAULTS: [(&str, &str); 16] = [
    ("offload", "1"),
    ("strict_segments", "0"),
    ("ignore_rest", "1"),
    ("tcp_rmem", "4096 540000 15728640"),
    ("tcp_wmem", "4096 262144 4194304"),
    ("tcp_timestamps", "1"),
    ("tcp_syn_retries", "5"),
    ("tcp_synack_retries", "5"),
    ("tcp_frto", "2"),
    ("tcp_sack", "1"),
    ("tcp_dsack", "1"),
    ("tcp_reordering", "3"),
    ("tcp_slow_start_after_idle", "0"),
    ("tcp_early_retrans", "4"),
    ("tcp_ecn", "0"),
    ("tcp_syncookies", "1"),
];

/// A question about counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// Counts from here.
    Reset,
    /// How often something happened since.
    Is { name: String, value: u64 },
}

/// The settings that commands make; what else they do is about the machine that they were written
/// for.
pub fn settings(commands: &str) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for command in commands.replace("\\\n", " ").split(['\n', ';']) {
        let words = words(command);
        let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
        match program {
            "defaults.sh" => {
                settings.extend(DEFAULTS.map(|(name, value)| (name.into(), value.into())));
            }
            "sysctl" | "set_sysctls.py" => settings.extend(words.iter().filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((plain_name(name), evaluated(value)))
            })),
            "ethtool" if command.contains("so off") => {
                settings.push(("offload".into(), "0".into()));
            }
            _ => {}
        }
    }
    settings
}

/// What the commands of an event say.
pub fn count(commands: &str) -> Result<Count, String> {
    let mut stages = commands.split('|').map(words);
    let first = stages.next().unwrap_or_default();
    if first.first().map(String::as_str) != Some("nstat") {
        return Err("only settings and counters are understood in a shell's command".into());
    }
    if first.iter().any(|word| word == "-n") {
        return Ok(Count::Reset);
    }
    let mut patterns = stages.filter_map(|stage| stage.last().cloned());
    let (Some(name), Some(value)) = (patterns.next(), patterns.next()) else {
        return Err("which counter, and how often?".into());
    };
    let value = value.trim().parse().map_err(|_| format!("{value:?} is no count"))?;
    Ok(Count::Is { name, value })
}

/// The last part of `net.ipv4.tcp_sack` or `/proc/sys/net/ipv4/tcp_sack`.
pub fn plain_name(name: &str) -> String {
    name.rsplit(['.', '/']).next().unwrap_or(name).into()
}

/// Split at blanks outside of quotes and brackets.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quoted, mut depth) = (vec![String::new()], false, 0);
    for c in command.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        match words.last_mut() {
            Some(_) if c.is_whitespace() && !quoted && depth == 0 => words.push(String::new()),
            Some(word) if c != '"' => word.push(c),
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// With the products in `$((…))` worked out.
fn evaluated(value: &str) -> String {
    let mut rest = value;
    let mut result = String::new();
    while let Some((before, after)) = rest.split_once("$((") {
        let (product, after) = after.split_once("))").unwrap_or((after, ""));
        let factors = product.split('*').map(|factor| factor.trim().parse::<u64>().unwrap_or(0));
        result.push_str(before);
        result.push_str(&factors.product::<u64>().to_string());
        rest = after;
    }
    result + rest
}
