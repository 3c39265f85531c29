//! Text of others, made fit for a terminal. What a command prints, and every name, key and message in a job, may hold
//! escape sequences: they could set a terminal's title, hide lines or write over them, or answer for the person.

use anstream::adapter::strip_str;
use serde::Serialize;

/// `text` without escape sequences, colours included, and with U+FFFD for what else moves the cursor or turns the
/// direction of writing. Newlines and tabs stay.
pub fn visible(text: &str) -> String {
    // Line by line, so that a sequence without an end takes no more than its line.
    let lines = text.split('\n').map(|line| {
        let stripped = strip_str(line.strip_suffix('\r').unwrap_or(line)).to_string();
        stripped.chars().map(|c| if is_visible(c) { c } else { '\u{fffd}' }).collect::<String>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// One line of a command's output as it stands in the end: what comes after a carriage return takes the line's place.
pub fn settled(line: &str) -> String {
    let mut drafts = line.rsplit('\r');
    visible(drafts.find(|draft| !draft.is_empty()).unwrap_or_default())
}

/// `value` as JSON, indented, in which every character that [`visible`] takes away is escaped.
///
/// # Errors
/// Where the value cannot be written as JSON.
pub fn visible_json(value: &impl Serialize) -> serde_json::Result<String> {
    use std::fmt::Write;
    let mut escaped = String::new();
    for c in serde_json::to_string_pretty(value)?.chars() {
        // Outside of strings there are none but newlines, and in strings those are escaped already.
        if c == '\n' || is_visible(c) {
            escaped.push(c);
        } else {
            write!(escaped, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
        }
    }
    Ok(escaped)
}

/// Whether a terminal shows `c` and does nothing else; a tab counts.
/// Source: Unicode Standard Annex 9, "Unicode Bidirectional Algorithm", explicit formatting characters.
pub(crate) fn is_visible(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c == '\t' || !(c.is_control() || turns)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn no_escape_sequence_and_no_control_character_is_left() {
        for (given, shown) in [
            ("\x1b]0;title\x07plain", "plain"),
            ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b[2J\x1b[31mred \x1b[8mhidden\x1b[0m", "red hidden"),
            ("\x1b[1A\x1b[2Kspoofed", "spoofed"),
            ("\x1bP1;2|dcs\x1b\\after", "after"),
            ("\x1bcreset", "reset"),
            ("one\r\ntwo\tthree\n", "one\ntwo\tthree\n"),
            ("key\rspoofed", "key\u{fffd}spoofed"),
            ("\u{9b}31mred", "\u{fffd}31mred"),
            ("a\u{202e}b\u{2066}c", "a\u{fffd}b\u{fffd}c"),
            ("Ünïcödé \u{1f99f} \u{fffd}", "Ünïcödé \u{1f99f} \u{fffd}"),
        ] {
            assert_eq!(visible(given), shown, "{given:?}");
        }
    }

    #[test]
    fn a_sequence_without_an_end_hides_its_line_and_no_other() {
        assert_eq!(visible("before\n\x1b]0;no end\nafter\x1b["), "before\n\nafter");
    }

    #[test]
    fn progress_is_folded_to_its_last_draft() {
        for (given, shown) in [
            ("\rprogress 0 %\rprogress 99 %", "progress 99 %"),
            ("progress 99 %\r", "progress 99 %"),
            ("\x1b[33mwarning\x1b[0m\r\r", "warning"),
            ("plain", "plain"),
            ("\r", ""),
        ] {
            assert_eq!(settled(given), shown, "{given:?}");
        }
    }

    #[test]
    fn json_stays_the_same_value_and_has_no_character_that_is_not_visible() {
        let value = json!({ "k\u{9b}": "\x1b[31m\u{7f}\u{202e}\n\tÜ" });
        let text = visible_json(&value).unwrap();
        assert!(text.chars().all(|c| c == '\n' || is_visible(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
