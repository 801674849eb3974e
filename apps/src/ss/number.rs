//! Numbers as printf(3) writes them.

/// `%g`: `digits` significant digits, zeros at the end left out. For values that never need an
/// exponent to the right of the point.
pub fn general(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_string();
    }
    // Rounding may carry into a new digit, so ask the formatter for the exponent.
    let scientific = format!("{:.*e}", digits.max(1) - 1, value);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.decimals$}")).to_string()
}

fn trimmed(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// Microseconds as milliseconds, `%g`.
pub fn millis(micros: u64) -> String {
    general(micros as f64 / 1000.0, 6)
}

/// A rate in bits a second: in full, or with three digits and a letter.
pub fn rate(bits: f64, numeric: bool) -> String {
    if numeric {
        return format!("{bits:.0}");
    }
    let mut scaled = bits;
    let mut unit = "";
    for next in ["K", "M", "G", "T"] {
        if scaled < 1000.0 {
            break;
        }
        (scaled, unit) = (scaled / 1000.0, next);
    }
    format!("{}{unit}", general(scaled, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_is_that_of_printf() {
        let cases = [
            (0.0, "0"),
            (0.05, "0.05"),
            (204.0, "204"),
            (10.061, "10.061"),
            (10.1304, "10.1304"),
            (123_456.7, "123457"),
            (1_234_567.0, "1.23457e+06"),
            (0.001, "0.001"),
            (0.00001, "1e-05"),
            (999_999.7, "1e+06"),
        ];
        for (value, text) in cases {
            assert_eq!(general(value, 6), text, "{value}");
        }
        assert_eq!(millis(5_032), "5.032");
        assert_eq!(millis(18), "0.018");
    }

    #[test]
    fn rates_are_those_of_ss() {
        assert_eq!(rate(873_813_333_333.0, true), "873813333333");
        assert_eq!(rate(873_813_333_333.0, false), "874G");
        assert_eq!(rate(2_495_171_132_000.0, false), "2.5T");
        assert_eq!(rate(1_861_340_703.0, false), "1.86G");
        assert_eq!(rate(999.0, false), "999");
        assert_eq!(rate(23_168.0, false), "23.2K");
    }
}
