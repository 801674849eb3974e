//! Options, on the wire.

use tapping_stack::wire::tcp_options::{MAX_LEN, kinds};
use tapping_stack::wire::{
    SackBlock, SeqNumber, TcpOption, TcpOptions, TcpOptionsRepr, WireErrorKind,
};

conformance! {
    "RFC 9293", "Options (§3.1, §3.2)";

    Must "RFC9293-MUST-4" "3.2" "End of list, no-operation and maximum segment size are understood."
        => the_mandatory_options_are_understood;
    Must "RFC9293-MUST-64" "3.2" "Options are read wherever they begin, on a word or not."
        => options_need_no_alignment;
    Must "RFC9293-MUST-68" "3.1" "Every option sent has a length byte that counts the whole option, but for end of list and no-operation."
        => every_option_sent_has_its_length;
    Must "RFC9293-3.1-multiple" "3.1" "The options sent fill whole words of 32 bits, up to 40 bytes."
        => options_fill_whole_words;
    Must "RFC9293-MUST-69" "3.1" "Nothing but zeros is sent behind the end of the list."
        => nothing_is_sent_behind_the_end;
    Rule "RFC9293-3.2-end" "3.2" "Nothing behind the end of the list is read."
        => nothing_is_read_behind_the_end;
}

fn read(bytes: &[u8]) -> Vec<TcpOption<'_>> {
    TcpOptions::new(bytes).map(|option| option.expect("a well-formed list")).collect()
}

/// All that can be sent, in every combination that the layout distinguishes.
fn every_layout(mut check: impl FnMut(&[u8])) {
    let blocks = [1u32, 2, 3, 4]
        .map(|n| SackBlock { left: SeqNumber(n * 100), right: SeqNumber(n * 100 + 50) });
    for bits in 0..32u8 {
        for count in 0..=blocks.len() {
            let options = TcpOptionsRepr {
                mss: (bits & 1 != 0).then_some(1460),
                window_scale: (bits & 2 != 0).then_some(7),
                sack_permitted: bits & 4 != 0,
                timestamps: (bits & 8 != 0).then_some((1, 2)),
                fast_open: (bits & 16 != 0).then_some(&[1, 2, 3, 4, 5, 6]),
                sack: &blocks[..count],
            };
            let mut bytes = vec![0xee; options.len()];
            options.emit(&mut bytes);
            check(&bytes);
        }
    }
}

fn the_mandatory_options_are_understood() {
    let options = [kinds::NOP, kinds::MSS, 4, 0x05, 0xb4, kinds::END, 0, 0];
    assert_eq!(read(&options), [TcpOption::Nop, TcpOption::MaximumSegmentSize(1460)]);
}

fn options_need_no_alignment() {
    for shift in 0..8 {
        let mut bytes = vec![kinds::NOP; shift];
        bytes.extend([kinds::MSS, 4, 0x02, 0x18, kinds::WINDOW_SCALE, 3, 9]);
        bytes.extend([kinds::TIMESTAMPS, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        let options = read(&bytes);
        let expected = [
            TcpOption::MaximumSegmentSize(536),
            TcpOption::WindowScale(9),
            TcpOption::Timestamps { value: 1, echo: 2 },
        ];
        assert_eq!(options[shift..], expected, "behind {shift} bytes");
    }
}

/// Walks by the length bytes alone.
fn every_option_sent_has_its_length() {
    every_layout(|bytes| {
        let mut rest = bytes;
        while let [kind, tail @ ..] = rest {
            if *kind == kinds::NOP {
                rest = tail;
                continue;
            }
            assert_ne!(*kind, kinds::END);
            let len = usize::from(tail[0]);
            assert!(len >= 2 && len <= rest.len(), "{bytes:?}");
            rest = &rest[len..];
        }
    });
}

fn options_fill_whole_words() {
    every_layout(|bytes| {
        assert!(bytes.len().is_multiple_of(4) && bytes.len() <= MAX_LEN, "{bytes:?}");
    });
}

/// Padding is done with no-operations, so that the list has no end before the header has.
fn nothing_is_sent_behind_the_end() {
    every_layout(|bytes| {
        let padding = bytes.iter().filter(|byte| **byte == 0xee);
        assert_eq!(padding.count(), 0, "every byte is written: {bytes:?}");
        let options = TcpOptions::new(bytes).map(Result::unwrap);
        let len: usize = options.map(|option| option_len(&option)).sum();
        assert_eq!(len, bytes.len(), "the list goes on to the end: {bytes:?}");
    });
}

fn option_len(option: &TcpOption<'_>) -> usize {
    match option {
        TcpOption::Nop => 1,
        TcpOption::MaximumSegmentSize(_) => 4,
        TcpOption::WindowScale(_) => 3,
        TcpOption::SackPermitted => 2,
        TcpOption::Sack(blocks) => 2 + 8 * blocks.iter().len(),
        TcpOption::Timestamps { .. } => 10,
        TcpOption::FastOpen(cookie) => 2 + cookie.len(),
        TcpOption::Unknown { data, .. } => 2 + data.len(),
    }
}

fn nothing_is_read_behind_the_end() {
    let options = [kinds::MSS, 4, 5, 0xb4, kinds::END, kinds::WINDOW_SCALE, 3, 7];
    assert_eq!(read(&options), [TcpOption::MaximumSegmentSize(1460)]);
    // Not even what would be wrong.
    assert_eq!(read(&[kinds::END, kinds::MSS, 0, 0]), []);
    let error = TcpOptions::new(&[kinds::MSS, 0, 0, 0]).next().unwrap().unwrap_err();
    assert_eq!(error.kind, WireErrorKind::BadLength);
}
