//! Conditional requests (RFC 9110 §13): whether the client has what it asks for already.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    /// A strong entity tag.
    pub etag: String,
    /// The time of the last change, in whole seconds.
    pub modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do what is asked for.
    Go,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client takes it for.
    Failed,
}

impl Validators {
    /// Those of a file of `len` bytes that was changed so many nanoseconds after 1970.
    pub fn new(len: u64, modified: i128) -> Self {
        let whole = u64::try_from(modified / 1_000_000_000).ok();
        // Before 1970 and after 9999 there is no HTTP date.
        let modified_secs = whole.filter(|secs| *secs < 253_402_300_800);
        Validators {
            etag: format!("\"{len:x}-{modified:x}\""),
            modified: modified_secs.map(|secs| UNIX_EPOCH + Duration::from_secs(secs)),
        }
    }

    /// Evaluates a request's conditions, in the order of RFC 9110 §13.2.2. The method is GET or
    /// HEAD.
    pub fn check(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(IF_MATCH) {
            if !self.is_listed(headers, &IF_MATCH, false) {
                return Verdict::Failed;
            }
        } else if let Some(date) = date(headers, &IF_UNMODIFIED_SINCE)
            && self.modified.is_none_or(|modified| modified > date)
        {
            return Verdict::Failed;
        }
        if headers.contains_key(IF_NONE_MATCH) {
            if self.is_listed(headers, &IF_NONE_MATCH, true) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = date(headers, &IF_MODIFIED_SINCE)
            && self.modified.is_some_and(|modified| modified <= date)
        {
            return Verdict::NotModified;
        }
        Verdict::Go
    }

    /// Whether a `Range` field counts: `If-Range` is not there, or is about this very state
    /// (RFC 9110 §13.1.5).
    pub fn allow_range(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(IF_RANGE) else { return true };
        let Ok(value) = value.to_str() else { return false };
        if value.starts_with('"') {
            return value == self.etag;
        }
        // A weak tag is not enough, and a date must be the very same.
        httpdate::parse_http_date(value).is_ok_and(|date| self.modified == Some(date))
    }

    /// Whether the tag is one of those in the field. A weak comparison takes weak tags, too.
    fn is_listed(&self, headers: &HeaderMap, name: &HeaderName, weak: bool) -> bool {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
            let tag = if weak { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
            tag == "*" || tag == self.etag
        })
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// 1994-11-06 08:49:37.5 GMT, the date of RFC 9110.
    fn validators() -> Validators {
        Validators::new(255, 784_111_777_500_000_000)
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(pair).collect()
    }

    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn a_client_that_has_it_is_told_so() {
        let tag = validators().etag;
        assert_eq!(tag, format!("\"ff-{:x}\"", 784_111_777_500_000_000_i128));
        let weak = format!("W/{tag}");
        let list = format!("\"other\", {tag}");
        for (name, value, verdict) in [
            ("if-none-match", tag.as_str(), Verdict::NotModified),
            ("if-none-match", &weak, Verdict::NotModified),
            ("if-none-match", &list, Verdict::NotModified),
            ("if-none-match", "*", Verdict::NotModified),
            ("if-none-match", "\"other\"", Verdict::Go),
            ("if-modified-since", SAME, Verdict::NotModified),
            ("if-modified-since", AFTER, Verdict::NotModified),
            ("if-modified-since", BEFORE, Verdict::Go),
            ("if-modified-since", "yesterday", Verdict::Go),
            ("if-match", &tag, Verdict::Go),
            ("if-match", "*", Verdict::Go),
            ("if-match", &weak, Verdict::Failed),
            ("if-match", "\"other\"", Verdict::Failed),
            ("if-unmodified-since", SAME, Verdict::Go),
            ("if-unmodified-since", BEFORE, Verdict::Failed),
        ] {
            let verdict_now = validators().check(&headers(&[(name, value)]));
            assert_eq!(verdict_now, verdict, "{name}: {value}");
        }
    }

    #[test]
    fn tags_go_before_dates() {
        let both = headers(&[("if-none-match", "\"other\""), ("if-modified-since", AFTER)]);
        assert_eq!(validators().check(&both), Verdict::Go);
        let tag = validators().etag;
        let both = headers(&[("if-match", &tag), ("if-unmodified-since", BEFORE)]);
        assert_eq!(validators().check(&both), Verdict::Go);
    }

    #[test]
    fn ranges_of_another_state_do_not_count() {
        let tag = validators().etag;
        let weak = format!("W/{tag}");
        for (value, allowed) in [
            (tag.as_str(), true),
            (SAME, true),
            (&weak, false),
            ("\"other\"", false),
            (BEFORE, false),
            (AFTER, false),
            ("x", false),
        ] {
            assert_eq!(
                validators().allow_range(&headers(&[("if-range", value)])),
                allowed,
                "{value}"
            );
        }
        assert!(validators().allow_range(&HeaderMap::new()));
    }

    #[test]
    fn times_without_an_http_date() {
        for modified in [-1_000_000_000, 253_402_300_800_000_000_000] {
            assert_eq!(Validators::new(0, modified).modified, None);
        }
    }
}
