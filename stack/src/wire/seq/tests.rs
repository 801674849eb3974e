use super::*;

#[test]
fn comparison_wraps() {
    let (before, after) = (SeqNumber(u32::MAX - 5), SeqNumber(10));
    assert!(before.lt(after) && before.le(after) && !before.gt(after) && !before.ge(after));
    assert!(after.gt(before) && after.ge(before));
    assert!(before.le(before) && before.ge(before) && !before.lt(before) && !before.gt(before));
    assert_eq!(after.distance(before), 16);
    assert_eq!(before - after, -16);
    assert_eq!((before.later(after), before.earlier(after)), (after, before));
    assert_eq!((after.later(before), after.earlier(before)), (after, before));
}

#[test]
fn arithmetic_wraps() {
    let mut seq = SeqNumber(u32::MAX);
    seq += 2;
    assert_eq!((seq, seq + u32::MAX, seq - 2), (SeqNumber(1), SeqNumber(0), SeqNumber(u32::MAX)));
    seq -= 1;
    assert_eq!(seq, SeqNumber(0));
}

#[test]
fn a_window_holds_its_start_but_not_its_end() {
    let start = SeqNumber(u32::MAX - 1);
    assert!(start.in_window(start, 4) && SeqNumber(1).in_window(start, 4));
    assert!(!SeqNumber(2).in_window(start, 4) && !(start - 1).in_window(start, 4));
    assert!(!start.in_window(start, 0));
}
