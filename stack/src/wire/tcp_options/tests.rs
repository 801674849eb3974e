use std::vec;
use std::vec::Vec;

use super::*;

fn collect(bytes: &[u8]) -> Vec<Result<TcpOption<'_>, WireError>> {
    TcpOptions::new(bytes).collect()
}

fn emit(options: &TcpOptionsRepr<'_>) -> Vec<u8> {
    let mut bytes = vec![0xee; options.len() + 1];
    options.emit(&mut bytes);
    assert_eq!(bytes.pop(), Some(0xee), "nothing is written beyond the length");
    bytes
}

fn block(n: u32) -> SackBlock {
    SackBlock { left: SeqNumber(n), right: SeqNumber(n + 10) }
}

#[test]
fn the_layouts_of_linux() {
    let syn = TcpOptionsRepr {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some((0x01020304, 0)),
        ..Default::default()
    };
    // mss, sackOK, TS, nop, wscale
    let expected = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
    assert_eq!(emit(&syn), expected);
    // mss, nop, nop, sackOK, nop, wscale
    let without_timestamps = TcpOptionsRepr { timestamps: None, ..syn };
    assert_eq!(emit(&without_timestamps), [2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7]);
    // nop, nop, TS, nop, nop, SACK
    let blocks = [block(100)];
    let data = TcpOptionsRepr { timestamps: Some((1, 2)), sack: &blocks, ..Default::default() };
    let expected = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 5, 10, 0, 0, 0, 100, 0, 0, 0, 110];
    assert_eq!(emit(&data), expected);
    assert!(TcpOptionsRepr::default().is_empty() && emit(&TcpOptionsRepr::default()).is_empty());
}

#[test]
fn a_fast_open_cookie_is_padded_with_nops() {
    let with = |cookie| TcpOptionsRepr { fast_open: Some(cookie), ..Default::default() };
    assert_eq!(emit(&with(&[])), [34, 2, 1, 1]);
    assert_eq!(emit(&with(&[1, 2, 3, 4, 5, 6, 7, 8])), [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
    assert_eq!(emit(&with(&[1, 2, 3, 4, 5, 6])), [34, 8, 1, 2, 3, 4, 5, 6]);
    assert!(with(&[1; 3]).is_empty() && with(&[1; 18]).is_empty(), "no cookies of RFC 7413");
}

#[test]
fn sack_blocks_go_out_as_far_as_there_is_room() {
    let blocks = [1, 2, 3, 4, 5].map(block);
    let fitting = |options: TcpOptionsRepr<'_>| {
        assert!(options.len() <= MAX_LEN && options.len().is_multiple_of(4));
        options.sack_fitting().len()
    };
    let sack = TcpOptionsRepr { sack: &blocks, ..Default::default() };
    assert_eq!(fitting(sack), 4);
    assert_eq!(fitting(TcpOptionsRepr { timestamps: Some((0, 0)), ..sack }), 3);
    let full = TcpOptionsRepr {
        mss: Some(1),
        window_scale: Some(1),
        sack_permitted: true,
        timestamps: Some((0, 0)),
        fast_open: Some(&[1; 16]),
        sack: &blocks,
    };
    assert_eq!((fitting(full), full.len()), (0, MAX_LEN));
    let bytes = emit(&sack);
    let Some(Ok(TcpOption::Sack(read))) = TcpOptions::new(&bytes).nth(2) else { panic!() };
    assert_eq!(read.iter().collect::<Vec<_>>(), blocks[..4]);
}

#[test]
fn every_kind_is_read() {
    let bytes = [
        2, 4, 5, 0xb4, 3, 3, 14, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 34, 6, 9, 8, 7, 6, 34, 2,
        19, 3, 7, 0, 99,
    ];
    let expected = [
        TcpOption::MaximumSegmentSize(1460),
        TcpOption::WindowScale(14),
        TcpOption::SackPermitted,
        TcpOption::Timestamps { value: 1, echo: 2 },
        TcpOption::Nop,
        TcpOption::FastOpen(&[9, 8, 7, 6]),
        TcpOption::FastOpen(&[]),
        TcpOption::Unknown { kind: kinds::MD5, data: &[7] },
    ];
    assert_eq!(collect(&bytes), expected.map(Ok));
}

#[test]
fn a_known_kind_of_wrong_length_is_skipped() {
    let bytes = [2, 3, 9, 3, 4, 1, 1, 4, 3, 0, 8, 2, 5, 2, 5, 4, 0, 0, 34, 5, 1, 2, 3, 1];
    let read = collect(&bytes);
    assert_eq!(read.len(), 8);
    assert_eq!(read[7], Ok(TcpOption::Nop));
    for option in &read[..7] {
        assert!(matches!(option, Ok(TcpOption::Unknown { .. })), "{option:?}");
    }
}

#[test]
fn a_broken_length_ends_the_list() {
    let error = |bytes: &[u8]| {
        let read = collect(bytes);
        let error = read.last().unwrap().unwrap_err();
        assert!(read[..read.len() - 1].iter().all(Result::is_ok));
        assert_eq!(error.layer, Layer::TcpOptions);
        (error.kind, error.offset, error.needed, error.had)
    };
    assert_eq!(error(&[1, 2]), (WireErrorKind::Truncated, 1, 2, 1));
    assert_eq!(error(&[1, 1, 2, 4, 5]), (WireErrorKind::Truncated, 2, 4, 3));
    assert_eq!(error(&[8, 0, 1, 1]), (WireErrorKind::BadLength, 0, 2, 0));
    assert_eq!(error(&[8, 1, 1, 1]), (WireErrorKind::BadLength, 0, 2, 1));
}
