use super::*;

#[test]
fn bytes_and_rates_as_iperf3_writes_them() {
    // Amounts and texts from lines of iperf3 3.12.
    for (amount, text) in [
        (0, "0.00 Bytes"),
        (12_500, "12.2 KBytes"),
        (131_072, " 128 KBytes"),
        (125_000, " 122 KBytes"),
        (1_310_720, "1.25 MBytes"),
        (663_552, " 648 KBytes"),
        (1_245_540_515, "1.16 GBytes"),
        (98_304, "96.0 KBytes"),
        (1023, "1023 Bytes"),
    ] {
        assert_eq!(bytes(amount), text);
    }
    for (bits, text) in [
        (100_000.0, " 100 Kbits"),
        (97_400.0, "97.4 Kbits"),
        (999_711.0, "1000 Kbits"),
        (1_048_370.5, "1.05 Mbits"),
        (9_950_000_000.0, "9.95 Gbits"),
        (0.0, "0.00 bits"),
        (f64::NAN, "0.00 bits"),
        (f64::INFINITY, "0.00 bits"),
    ] {
        assert_eq!(rate(bits / 8.0, RateUnit::Adaptive), text);
    }
    assert_eq!(rate(1_048_370.5 / 8.0, RateUnit::Bits(1)), "1048 Kbits");
    assert_eq!(rate(131_072.0, RateUnit::Bytes(2)), "0.12 MBytes");
    assert_eq!(rate(1e30, RateUnit::Adaptive).split(' ').next_back(), Some("Tbits"));
}

#[test]
fn percentages_have_two_digits() {
    for (part, whole, text) in [
        (0, 0, "0"),
        (0, 168_450, "0"),
        (113_428, 168_450, "67"),
        (1, 1, "100"),
        (1, 8, "12"),
        (1, 200, "0.5"),
        (1, 4_000, "0.025"),
        (3, 10_000, "0.03"),
    ] {
        assert_eq!(percent(part, whole), text, "{part}/{whole}");
    }
}

#[test]
fn amounts_on_the_command_line() {
    assert_eq!(parse_amount("128K"), Ok(131_072));
    assert_eq!(parse_amount("1.5m"), Ok(1_572_864));
    assert_eq!(parse_amount("17"), Ok(17));
    assert_eq!(parse_decimal("100K"), Ok(100_000));
    assert_eq!(parse_decimal("10G"), Ok(10_000_000_000));
    assert_eq!(parse_decimal("0"), Ok(0));
    for bad in ["", "K", "-1", "1e9", "1X", "1KK", "x", "1.2.3", "99999999T", "1é", "inf", "+1"] {
        assert!(parse_amount(bad).is_err(), "{bad:?} was taken");
    }
}
