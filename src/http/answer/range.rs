//! Conditional and partial downloads (RFC 9110): `If-None-Match`, `Range`, `If-Range`.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, header};

/// What of a file a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The client has it already.
    NotModified,
    Whole,
    Part(Range<u64>),
    /// No byte of the file is in the range.
    Nothing,
}

/// Reads the conditions of a request for a file with this entity tag and length.
///
/// Several ranges at once are answered with the whole, as are ranges in another unit.
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| matches(tags, etag)) {
        return Wanted::NotModified;
    }
    let unchanged = text(header::IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    match text(header::RANGE) {
        Some(range) if unchanged => parse_range(range, length),
        _ => Wanted::Whole,
    }
}

fn matches(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

fn parse_range(range: &str, length: u64) -> Wanted {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        (Err(_), Ok(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return Wanted::Whole,
    };
    if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_range(range: &'static str) -> Wanted {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
        wanted(&headers, "\"tag\"", 10)
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        assert_eq!(wanted_range("bytes=0-3"), Wanted::Part(0..4));
        assert_eq!(wanted_range("bytes=4-"), Wanted::Part(4..10));
        assert_eq!(wanted_range("bytes=-3"), Wanted::Part(7..10));
        assert_eq!(wanted_range("bytes=8-99"), Wanted::Part(8..10));
        assert_eq!(wanted_range("bytes=-99"), Wanted::Part(0..10));
    }

    #[test]
    fn a_range_behind_the_end_is_nothing_and_an_unreadable_one_the_whole() {
        assert_eq!(wanted_range("bytes=10-"), Wanted::Nothing);
        assert_eq!(wanted_range("bytes=-0"), Wanted::Nothing);
        assert_eq!(wanted_range("bytes=3-1"), Wanted::Whole);
        assert_eq!(wanted_range("bytes=0-1,3-4"), Wanted::Whole);
        assert_eq!(wanted_range("items=0-1"), Wanted::Whole);
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let headers = HeaderMap::from_iter([
            (header::RANGE, HeaderValue::from_static("bytes=0-3")),
            (header::IF_RANGE, HeaderValue::from_static("\"old\"")),
        ]);
        assert_eq!(wanted(&headers, "\"tag\"", 10), Wanted::Whole);
    }
}
