//! Lines, limits, and the SDP parser behind them.
//!
//! `rtc::sdp` is strict where shipping clients are loose (order of session lines, bandwidth types, `u=`) and loose
//! where an answer repeats what was offered (bare carriage returns, control characters). So the text is checked here
//! first, and the parser gets only the kinds of lines that matter, in the one order it knows.

use std::io::Cursor;

use rtc::sdp::description::session::SessionDescription;

use super::error::OfferError;

/// What HTTP lets through as well; Chromium's largest offers are 8 KiB.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// One audio and one video is served; a browser that reuses a peer connection may carry dead m-lines along.
pub(super) const MAX_SECTIONS: usize = 32;
/// The payload type has 7 bits.
pub(super) const MAX_FORMATS: usize = 128;

/// The lines of `text` as (type, value), blank lines left out. Lines may end in LF alone, the last one in nothing.
pub(super) fn lines(text: &str) -> Result<Vec<(char, &str)>, OfferError> {
    if text.len() > MAX_BYTES {
        return Err(OfferError::TooLong(MAX_BYTES));
    }
    let mut lines = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let number = index + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(OfferError::Binary(number));
        }
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let mut chars = line.chars();
        match (chars.next(), chars.next()) {
            (Some(kind), Some('=')) if kind.is_ascii_lowercase() => lines.push((kind, chars.as_str())),
            _ => return Err(OfferError::Line(number)),
        }
    }
    if lines.is_empty() {
        Err(OfferError::Empty)
    } else {
        Ok(lines)
    }
}

/// The offer with its `v=`, `o=`, `s=`, `t=`, `a=` and `m=` lines; the others say nothing to a WebRTC server.
pub(super) fn session(text: &str) -> Result<SessionDescription, OfferError> {
    let lines = lines(text)?;
    if lines.first() != Some(&('v', "0")) {
        return Err(OfferError::Version);
    }
    let origin = lines
        .iter()
        .take_while(|(kind, _)| *kind != 'm')
        .find(|(kind, _)| *kind == 'o');
    // The numbers in it are nobody's business: some clients write more than 64 bits.
    if origin.is_none_or(|(_, value)| value.split_whitespace().count() != 6) {
        return Err(OfferError::Origin);
    }

    let mut canonical = String::with_capacity(text.len() + 64);
    canonical.push_str("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
    let mut sections = 0;
    for (kind, value) in lines {
        match kind {
            'm' => {
                check_media_line(value, sections)?;
                sections += 1;
            }
            'a' => {}
            _ => continue,
        }
        canonical.push(kind);
        canonical.push('=');
        canonical.push_str(value);
        canonical.push_str("\r\n");
    }
    if sections == 0 {
        return Err(OfferError::NoMedia);
    }
    SessionDescription::unmarshal(&mut Cursor::new(canonical.as_bytes()))
        .map_err(|error| OfferError::Syntax(error.to_string()))
}

fn check_media_line(value: &str, index: usize) -> Result<(), OfferError> {
    if index >= MAX_SECTIONS {
        return Err(OfferError::TooManySections(MAX_SECTIONS));
    }
    let fields = value.split_whitespace().count();
    if fields < 4 {
        return Err(OfferError::MediaLine(index));
    }
    if fields - 3 > MAX_FORMATS {
        return Err(OfferError::TooManyFormats(MAX_FORMATS));
    }
    Ok(())
}
