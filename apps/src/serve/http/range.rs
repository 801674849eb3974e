//! Byte ranges (RFC 9110 §14).

use std::ops::Range;

/// Ranges of one request; whoever wants more gets the whole (RFC 9110 §14.2 allows that, §17.15
/// says why).
const MAX_RANGES: usize = 16;

/// What a `Range` field asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The whole: the field is of another unit, malformed, or asks for too much at once.
    Whole,
    /// These bytes, in this order; at least one range, none empty.
    Parts(Vec<Range<u64>>),
    /// Nothing that the file has.
    Unsatisfiable,
}

/// Reads the value of a `Range` field for a file of `len` bytes.
pub fn parse(value: &str, len: u64) -> Wanted {
    let Some((unit, set)) = value.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        count += 1;
        match one(spec, len) {
            Err(Malformed) => return Wanted::Whole,
            _ if count > MAX_RANGES => return Wanted::Whole,
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {}
        }
    }
    if count == 0 {
        return Wanted::Whole;
    }
    // Overlapping ranges would send more than there is.
    let total = parts.iter().map(|part| part.end - part.start).try_fold(0, u64::checked_add);
    match total {
        Some(0) => Wanted::Unsatisfiable,
        Some(total) if total <= len => Wanted::Parts(parts),
        _ => Wanted::Whole,
    }
}

struct Malformed;

/// One range of a set; `None` when the file has nothing of it.
fn one(spec: &str, len: u64) -> Result<Option<Range<u64>>, Malformed> {
    let (first, last) = spec.split_once('-').ok_or(Malformed)?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        // The last so many bytes.
        let start = len.saturating_sub(number(last)?);
        return Ok((start < len).then_some(start..len));
    }
    let first = number(first)?;
    let end = match last {
        "" => len,
        last => {
            let last = number(last)?;
            if last < first {
                return Err(Malformed);
            }
            last.saturating_add(1).min(len)
        }
    };
    Ok((first < len).then_some(first..end))
}

/// A number of digits only; one that is too large is beyond any file.
fn number(digits: &str) -> Result<u64, Malformed> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_rfc_9110() {
        for (value, parts) in [
            ("bytes=0-499", "0..500"),
            ("bytes=500-999", "500..1000"),
            ("bytes=-500", "9500..10000"),
            ("bytes=9500-", "9500..10000"),
            ("bytes=0-0,-1", "0..1 9999..10000"),
            ("bytes= 0-0 , , 5-9", "0..1 5..10"),
            ("Bytes=0-99999", "0..10000"),
            ("bytes=-20000", "0..10000"),
            ("bytes=9999-,10000-", "9999..10000"),
            ("bytes=0-99999999999999999999999", "0..10000"),
        ] {
            let Wanted::Parts(wanted) = parse(value, 10_000) else { panic!("{value}") };
            let wanted: Vec<String> = wanted.iter().map(|part| format!("{part:?}")).collect();
            assert_eq!(wanted.join(" "), parts, "{value}");
        }
    }

    #[test]
    fn what_the_file_does_not_have() {
        for value in ["bytes=10000-", "bytes=-0", "bytes=10000-10001,20000-"] {
            assert_eq!(parse(value, 10_000), Wanted::Unsatisfiable, "{value}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_no_range_is_the_whole() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=x",
            "bytes=1",
            "bytes=-",
            "bytes=5-4",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=0-1,x",
            "lines=0-1",
            "bytes=0x1-2",
        ] {
            assert_eq!(parse(value, 10_000), Wanted::Whole, "{value}");
        }
    }

    #[test]
    fn nobody_gets_more_than_there_is() {
        assert_eq!(parse("bytes=0-,0-", 10), Wanted::Whole);
        assert_eq!(parse(&format!("bytes={}", "0-0,".repeat(17)), 1000), Wanted::Whole);
        assert!(matches!(parse(&format!("bytes={}", "0-0,".repeat(16)), 1000), Wanted::Parts(_)));
    }
}
