//! Which part of an object is wanted, and under which conditions.

use std::ops::Range;
use std::time::SystemTime;

use http::HeaderMap;
use http_range_header::parse_range_header;
use httpdate::parse_http_date;
use jiff::Timestamp;

use crate::error::ApiError;
use crate::object::Object;

/// Refuses a GET or HEAD whose conditions do not hold. A date that is still to come is no condition.
/// Source: S3 API Reference, `GetObject`, the four headers, and RFC 9110, 13.2.2; recorded, `test_s3_get_object_preconditions`.
pub fn check(headers: &HeaderMap, object: &Object, now: Timestamp) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |name: &str| text(name).and_then(|text| parse_http_date(text).ok());
    let (now, modified) = (SystemTime::from(now), SystemTime::from(object.modified));
    if let Some(tags) = text("if-match") {
        if !names(tags, &object.etag) {
            return Err(ApiError::precondition_failed("If-Match"));
        }
    } else if date("if-unmodified-since").is_some_and(|date| modified > date) {
        return Err(ApiError::precondition_failed("If-Unmodified-Since"));
    }
    let not_modified = || ApiError::new("NotModified", "Not Modified");
    if let Some(tags) = text("if-none-match") {
        if names(tags, &object.etag) {
            return Err(not_modified());
        }
    } else if date("if-modified-since").is_some_and(|date| modified <= date && date <= now) {
        return Err(not_modified());
    }
    Ok(())
}

/// The part of an object that is wanted, or none where it is the whole. A range that cannot be read is as good as none, and so
/// are several: "Amazon S3 doesn't support retrieving multiple ranges of data per GET request" (S3 API Reference, `GetObject`,
/// `Range`); that they are not refused is a guess.
pub fn part(headers: &HeaderMap, object: &Object) -> Result<Option<Range<u64>>, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(wanted) = text("range") else { return Ok(None) };
    // Source: RFC 9110, 13.1.5. S3's pages do not name it.
    if text("if-range").is_some_and(|tag| !names(tag, &object.etag)) {
        return Ok(None);
    }
    let Some(ranges) = parse_range_header(wanted).ok().filter(|ranges| ranges.len() == 1) else {
        return Ok(None);
    };
    let length = object.content.length;
    // Recorded, `test_invalid_range_error`. That no range of an empty object can be satisfied is RFC 9110's, 14.1.2.
    let range =
        ranges.validate(length).ok().and_then(|ranges| ranges.into_iter().next()).ok_or_else(|| {
            ApiError::new("InvalidRange", "The requested range is not satisfiable")
                .with("RangeRequested", wanted)
                .with("ActualObjectSize", length)
        })?;
    Ok(Some(*range.start()..*range.end() + 1))
}

/// Whether a list of entity tags has this one, in quotes or not (recorded, "etag-missing-quotes").
fn names(list: &str, etag: &str) -> bool {
    list.split(',').map(|tag| tag.trim().trim_matches('"')).any(|tag| tag == "*" || tag == etag)
}
