//! Amounts as iperf3 reads and writes them: `128K` on the command line, `1.25 MBytes` and
//! `941 Mbits/sec` in its lines.

/// What `-f` asks for: a unit for rates, chosen by size unless given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateUnit {
    /// Bits, in the unit that suits the number.
    #[default]
    Adaptive,
    /// Bits, in this power of 1,000 (`k`, `m`, `g`, `t`).
    Bits(u32),
    /// Bytes, in this power of 1,024 (`K`, `M`, `G`, `T`).
    Bytes(u32),
}

const PREFIXES: [&str; 5] = ["", "K", "M", "G", "T"];

/// Bytes, eleven characters wide: ` 128 KBytes`.
pub fn bytes(amount: u64) -> String {
    scaled(amount as f64, 1024.0, None, "Bytes")
}

/// A rate in bytes per second as `unit` has it, fit to stand before `/sec`.
pub fn rate(bytes_per_second: f64, unit: RateUnit) -> String {
    match unit {
        RateUnit::Adaptive => scaled(bytes_per_second * 8.0, 1000.0, None, "bits"),
        RateUnit::Bits(power) => scaled(bytes_per_second * 8.0, 1000.0, Some(power), "bits"),
        RateUnit::Bytes(power) => scaled(bytes_per_second, 1024.0, Some(power), "Bytes"),
    }
}

fn scaled(amount: f64, base: f64, power: Option<u32>, unit: &str) -> String {
    let amount = if amount.is_finite() { amount.max(0.0) } else { 0.0 };
    let largest = PREFIXES.len() as u32 - 1;
    let power = power.unwrap_or_else(|| {
        (0..largest).find(|&power| amount < base.powi(power as i32 + 1)).unwrap_or(largest)
    });
    let number = amount / base.powi(power as i32);
    // Three digits, as long as rounding leaves them.
    let decimals = match number {
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    format!("{number:4.decimals$} {}{unit}", PREFIXES[power as usize])
}

/// A percentage in two digits, as `%.2g` has it but for 100.
pub fn percent(part: u64, whole: u64) -> String {
    let percent = percentage(part, whole);
    if percent == 0.0 {
        return "0".into();
    }
    let exponent = percent.log10().floor() as i32;
    let decimals = (1 - exponent).clamp(0, 9) as usize;
    let text = format!("{percent:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// How many percent of `whole` are `part`; none of nothing.
pub fn percentage(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// A number with a suffix of powers of 1,024: `-l`, `-n`, `-k`, `-w`.
pub fn parse_amount(text: &str) -> Result<u64, String> {
    parse(text, 1024.0)
}

/// A number with a suffix of powers of 1,000: rates and `--pacing-timer`.
pub fn parse_decimal(text: &str) -> Result<u64, String> {
    parse(text, 1000.0)
}

fn parse(text: &str, base: f64) -> Result<u64, String> {
    let (number, power) = match text.char_indices().last() {
        Some((at, suffix)) if suffix.is_ascii_alphabetic() => {
            let power = PREFIXES.iter().position(|p| p.eq_ignore_ascii_case(&suffix.to_string()));
            let power = power.ok_or_else(|| format!("'{suffix}' is none of K, M, G and T"))?;
            (&text[..at], power)
        }
        _ => (text, 0),
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f64 = match number.parse() {
        Ok(value) if digits => value,
        _ => return Err("this is not a number such as 64, 1.5M or 10G".into()),
    };
    let amount = value * base.powi(power as i32);
    // Beyond this a double no longer counts one by one.
    if amount > (1u64 << 53) as f64 {
        return Err("out of range: at most 2^53".into());
    }
    Ok(amount as u64)
}

#[cfg(test)]
mod tests;
