//! The same calls and queries as were made on Linux, and the packets that it sent, byte for byte.

use super::*;

impl Bench {
    /// The IPv4 packets sent since last asked, each different one once.
    fn packets(&mut self) -> Vec<String> {
        self.lab.run_for(secs(11));
        let heard = self.lab.heard_ip(self.tester);
        let hex = |packet: &Vec<u8>| packet.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut packets: Vec<String> = heard.iter().map(hex).collect();
        packets.dedup();
        packets
    }
}

/// Captured from a veth end with 10.0.0.1/24.
#[test]
fn packets_are_those_of_linux() {
    let mut bench = Bench::new();
    let v3 = "94040000".to_string() + "2200";
    bench.join(GROUP);
    let head = "46c00028000040000102f9f80a000001e0000016".to_string() + &v3;
    assert_eq!(bench.packets(), [format!("{head}e8f90000000104000000ef010203")]);

    bench.block(GROUP, "10.9.0.1");
    let longer = "46c0002c000040000102f9f40a000001e0000016".to_string() + &v3;
    assert_eq!(bench.packets(), [format!("{longer}dcee0000000106000001ef0102030a090001")]);

    let state = format!("{longer}e0ee0000000102000001ef0102030a090001");
    bench.query(5, "0.0.0.0", &[]);
    assert_eq!(bench.packets(), std::slice::from_ref(&state));
    bench.query(5, GROUP, &[]);
    assert_eq!(bench.packets(), [state]);

    bench.leave(GROUP);
    assert_eq!(bench.packets(), [format!("{head}e9f90000000103000000ef010203")]);

    bench.query_old(5, "0.0.0.0");
    bench.join(GROUP);
    let report = "46c00020000040000102e9120a000001ef010203940400001600f8faef010203";
    assert_eq!(bench.packets(), [report]);
    bench.leave(GROUP);
    let leave = "46c00020000040000102fa140a000001e0000002940400001700f7faef010203";
    assert_eq!(bench.packets(), [leave]);
}
