//! ICMP messages in the words of iputils.

use std::net::Ipv4Addr;

/// Says what an ICMP message of `icmp_type` and `code` means. `info` is what the error queue holds
/// beside them: the next-hop MTU, the pointer, or the new gateway.
pub fn describe(icmp_type: u8, code: u8, info: u32) -> String {
    match icmp_type {
        0 => "Echo Reply".into(),
        3 => unreachable(code, info),
        4 => "Source Quench".into(),
        5 => format!("{}(New nexthop: {})", redirect(code), Ipv4Addr::from(info)),
        8 => "Echo Request".into(),
        11 => match code {
            0 => "Time to live exceeded".into(),
            1 => "Frag reassembly time exceeded".into(),
            _ => format!("Time exceeded, Bad Code: {code}"),
        },
        12 => format!("Parameter problem: pointer = {info}"),
        13 => "Timestamp".into(),
        14 => "Timestamp Reply".into(),
        15 => "Information Request".into(),
        16 => "Information Reply".into(),
        17 => "Address Mask Request".into(),
        18 => "Address Mask Reply".into(),
        _ => format!("Bad ICMP type: {icmp_type}"),
    }
}

fn unreachable(code: u8, mtu: u32) -> String {
    let text = match code {
        0 => "Destination Net Unreachable",
        1 => "Destination Host Unreachable",
        2 => "Destination Protocol Unreachable",
        3 => "Destination Port Unreachable",
        4 => return format!("Frag needed and DF set (mtu = {mtu})"),
        5 => "Source Route Failed",
        6 => "Destination Net Unknown",
        7 => "Destination Host Unknown",
        8 => "Source Host Isolated",
        9 => "Destination Net Prohibited",
        10 => "Destination Host Prohibited",
        11 => "Destination Net Unreachable for Type of Service",
        12 => "Destination Host Unreachable for Type of Service",
        13 => "Packet filtered",
        14 => "Precedence Violation",
        15 => "Precedence Cutoff",
        _ => return format!("Dest Unreachable, Bad Code: {code}"),
    };
    text.into()
}

fn redirect(code: u8) -> String {
    let text = match code {
        0 => "Redirect Network",
        1 => "Redirect Host",
        2 => "Redirect Type of Service and Network",
        3 => "Redirect Type of Service and Host",
        _ => return format!("Redirect, Bad Code: {code}"),
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_iputils() {
        assert_eq!(describe(3, 1, 0), "Destination Host Unreachable");
        assert_eq!(describe(3, 4, 1400), "Frag needed and DF set (mtu = 1400)");
        assert_eq!(describe(3, 13, 0), "Packet filtered");
        assert_eq!(describe(3, 99, 0), "Dest Unreachable, Bad Code: 99");
        assert_eq!(describe(11, 0, 0), "Time to live exceeded");
        assert_eq!(describe(11, 1, 0), "Frag reassembly time exceeded");
        assert_eq!(describe(12, 0, 20), "Parameter problem: pointer = 20");
        assert_eq!(describe(5, 1, 0x0a00_0009), "Redirect Host(New nexthop: 10.0.0.9)");
        assert_eq!(describe(4, 0, 0), "Source Quench");
        assert_eq!(describe(200, 0, 0), "Bad ICMP type: 200");
    }

    #[test]
    fn every_code_has_its_own_words() {
        let all: std::collections::HashSet<String> =
            (0..=16).map(|code| describe(3, code, 1)).collect();
        assert_eq!(all.len(), 17);
    }
}
