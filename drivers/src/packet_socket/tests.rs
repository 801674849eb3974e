use super::*;

/// Ethernet, IPv4 without options, then `protocol`.
fn frame(protocol: u8) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].fill(0xaa);
    frame[6..12].fill(0xbb);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14] = 0x45;
    frame[23] = protocol;
    frame
}

#[test]
fn a_stripped_tag_goes_back_in() {
    let mut packet = Packet::from_slice(&frame(1));
    let status = STATUS_VLAN | STATUS_VLAN_TPID;
    apply(&mut packet, AuxData { status, vlan_tci: 0x2064, vlan_tpid: 0x88a8 });
    let expected = [&[0xaa; 6][..], &[0xbb; 6], &[0x88, 0xa8, 0x20, 0x64, 0x08, 0x00]].concat();
    assert_eq!(&packet.bytes()[..18], expected);
    assert_eq!(&packet.bytes()[18..], &frame(1)[14..]);

    // Before Linux 3.14 the tag's ethertype was not told.
    let mut packet = Packet::from_slice(&frame(1));
    apply(&mut packet, AuxData { status: STATUS_VLAN, vlan_tci: 100, vlan_tpid: 0 });
    assert_eq!(packet.bytes()[12..16], [0x81, 0x00, 0, 100]);
}

#[test]
fn the_checksum_state_is_what_the_kernel_says() {
    let not_ready = AuxData { status: STATUS_CHECKSUM_NOT_READY, ..AuxData::default() };
    let valid = AuxData { status: STATUS_CHECKSUM_VALID, ..AuxData::default() };
    for (protocol, aux, state) in [
        (6, not_ready, ChecksumState::Partial { start: 20, offset: 16 }),
        (17, not_ready, ChecksumState::Partial { start: 20, offset: 6 }),
        (132, not_ready, ChecksumState::Unnecessary),
        (6, valid, ChecksumState::Unnecessary),
        (6, AuxData::default(), ChecksumState::None),
    ] {
        let mut packet = Packet::from_slice(&frame(protocol));
        apply(&mut packet, aux);
        assert_eq!(packet.meta.checksum, state, "protocol {protocol}");
    }
    for len in 0..34 {
        let mut packet = Packet::from_slice(&frame(6)[..len]);
        apply(&mut packet, not_ready);
        assert_ne!(packet.meta.checksum, ChecksumState::None, "{len} bytes");
    }
}
