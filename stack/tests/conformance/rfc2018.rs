//! RFC 2018, selective acknowledgment.

use tapping_stack::wire::tcp_options::kinds;
use tapping_stack::wire::{SackBlock, SeqNumber, TcpOption, TcpOptions, TcpOptionsRepr};

conformance! {
    "RFC 2018", "Selective acknowledgment";

    Rule "RFC2018-2-format" "2" "SACK-permitted is kind 4 with a length of 2."
        => sack_permitted_has_its_format;
    Rule "RFC2018-3-format" "3" "SACK is kind 5; a block is its first number and the one behind its last, 4 bytes each."
        => sack_has_its_format;
    Rule "RFC2018-3-room" "3" "Four blocks fit into the options, three beside timestamps."
        => as_many_blocks_as_there_is_room;
}

fn emit(options: TcpOptionsRepr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; options.len()];
    options.emit(&mut bytes);
    bytes
}

fn blocks(count: u32) -> Vec<SackBlock> {
    (0..count)
        .map(|n| SackBlock { left: SeqNumber(n << 16), right: SeqNumber((n << 16) + 1460) })
        .collect()
}

fn sack_permitted_has_its_format() {
    let bytes = emit(TcpOptionsRepr { sack_permitted: true, ..Default::default() });
    assert_eq!(bytes, [kinds::NOP, kinds::NOP, 4, 2]);
    assert_eq!(TcpOptions::new(&[4, 2]).next(), Some(Ok(TcpOption::SackPermitted)));
    let wrong = TcpOptions::new(&[4, 3, 0]).next();
    assert!(matches!(wrong, Some(Ok(TcpOption::Unknown { .. }))), "{wrong:?}");
}

fn sack_has_its_format() {
    let block = SackBlock { left: SeqNumber(0x0102_0304), right: SeqNumber(0x0506_0708) };
    let bytes = emit(TcpOptionsRepr { sack: &[block], ..Default::default() });
    assert_eq!(bytes, [kinds::NOP, kinds::NOP, 5, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    let Some(Ok(TcpOption::Sack(read))) = TcpOptions::new(&bytes[2..]).next() else {
        panic!("a SACK option: {bytes:?}");
    };
    assert_eq!(read.iter().collect::<Vec<_>>(), [block]);
    for len in [2, 9, 11, 17] {
        let mut bytes = vec![0; len];
        bytes[..2].copy_from_slice(&[5, len as u8]);
        let option = TcpOptions::new(&bytes).next();
        assert!(matches!(option, Some(Ok(TcpOption::Unknown { .. }))), "length {len}: {option:?}");
    }
}

fn as_many_blocks_as_there_is_room() {
    let five = blocks(5);
    for (timestamps, room) in [(None, 4), (Some((1, 2)), 3)] {
        let bytes = emit(TcpOptionsRepr { timestamps, sack: &five, ..Default::default() });
        assert!(bytes.len() <= 40);
        let sack = TcpOptions::new(&bytes).find_map(|option| match option {
            Ok(TcpOption::Sack(blocks)) => Some(blocks.iter().collect::<Vec<_>>()),
            _ => None,
        });
        assert_eq!(sack.as_deref(), Some(&five[..room]), "the first ones, in order");
    }
}
