//! What the command prints: split into lines, and its end, which a report holds. A line that is written over again and
//! again, as ffmpeg shows its progress, counts as the one line that a person sees on a terminal. Memory is bounded however
//! long a line is.

use std::mem;

/// A longer line is cut.
const LINE_LIMIT: usize = 8 * 1024;
/// What a report holds of the output, in bytes.
const TAIL_LIMIT: usize = 4 * 1024;

/// A piece of what is printed.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line that stays.
    Line(&'a [u8]),
    /// What a line shows for now: it ended with a carriage return, so the next piece takes its place.
    Draft(&'a [u8]),
}

/// Splits what is printed.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Vec<u8>,
    /// What the line showed last; it stays if nothing is written over it.
    draft: Vec<u8>,
}

impl Splitter {
    /// Takes the next `bytes` and hands on what they complete.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(&mut each),
                b'\r' if self.line.is_empty() => {}
                b'\r' => {
                    mem::swap(&mut self.line, &mut self.draft);
                    self.line.clear();
                    each(Piece::Draft(&self.draft));
                }
                byte => {
                    self.line.push(byte);
                    if self.line.len() == LINE_LIMIT {
                        self.end_line(&mut each);
                    }
                }
            }
        }
    }

    /// Hands on what the stream ended with, if no newline came after it.
    pub fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        if !(self.line.is_empty() && self.draft.is_empty()) {
            self.end_line(&mut each);
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(Piece<'_>)) {
        each(Piece::Line(if self.line.is_empty() { &self.draft } else { &self.line }));
        self.line.clear();
        self.draft.clear();
    }
}

/// The end of the output.
#[derive(Debug, Default)]
pub struct Tail {
    text: Vec<u8>,
    /// Where the draft begins that the next piece replaces.
    draft: Option<usize>,
}

impl Tail {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &Piece<'_>) {
        let (Piece::Line(line) | Piece::Draft(line)) = piece;
        if let Some(start) = self.draft.take() {
            self.text.truncate(start);
        }
        // Cutting at twice the limit spares moving the text for each line.
        if self.text.len() > 2 * TAIL_LIMIT {
            self.text.drain(..self.text.len() - TAIL_LIMIT);
        }
        self.draft = matches!(piece, Piece::Draft(_)).then_some(self.text.len());
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    /// The last 4 KB as text, from the beginning of a line unless there is but one.
    pub fn text(&self) -> String {
        let start = self.text.len().saturating_sub(TAIL_LIMIT);
        let text = String::from_utf8_lossy(&self.text[start..]);
        // A replacement character is longer than the byte that it stands for.
        let cut = text.ceil_char_boundary(text.len().saturating_sub(TAIL_LIMIT));
        let is_whole = cut == 0 && (start == 0 || self.text[start - 1] == b'\n');
        let text = &text[cut..];
        let rest = text.split_once('\n').map(|(_, rest)| rest).filter(|rest| !is_whole && !rest.is_empty());
        rest.unwrap_or(text).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of `chunks`, with a mark for their kind.
    fn pieces(chunks: &[&str]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut seen = Vec::new();
        let mut each = |piece: Piece<'_>| {
            seen.push(match piece {
                Piece::Line(line) => format!("={}", String::from_utf8_lossy(line)),
                Piece::Draft(line) => format!("~{}", String::from_utf8_lossy(line)),
            });
        };
        for chunk in chunks {
            splitter.push(chunk.as_bytes(), &mut each);
        }
        splitter.finish(&mut each);
        seen
    }

    #[test]
    fn lines_end_with_newlines_and_carriage_returns() {
        assert_eq!(
            pieces(&["one\ntw", "o\r1%\r2%\r", "\nend"]),
            ["=one", "~two", "~1%", "~2%", "=2%", "=end"]
        );
    }

    #[test]
    fn a_line_that_is_written_over_stays_as_it_was_last() {
        assert_eq!(pieces(&["1%\r2%\rdone\n"]), ["~1%", "~2%", "=done"]);
        assert_eq!(pieces(&["\r1%\r2%"]), ["~1%", "=2%"]);
        assert_eq!(pieces(&["1%\r2%\r"]), ["~1%", "~2%", "=2%"]);
    }

    #[test]
    fn empty_lines_stay_and_empty_drafts_do_not() {
        assert_eq!(pieces(&["\n\r\r\n1%\r\r\n"]), ["=", "=", "~1%", "=1%"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let line = "x".repeat(3 * LINE_LIMIT + 1);
        assert_eq!(pieces(&[&line]).iter().map(String::len).max(), Some(LINE_LIMIT + 1));
    }

    /// The end of an output.
    fn tail(chunks: &[&[u8]]) -> String {
        let (mut splitter, mut tail) = (Splitter::default(), Tail::default());
        for chunk in chunks {
            splitter.push(chunk, |piece| tail.push(&piece));
        }
        splitter.finish(|piece| tail.push(&piece));
        tail.text()
    }

    #[test]
    fn updates_of_a_line_never_push_out_the_lines_before_them() {
        let update = |i| format!("\rframe {i} of 10000, and so on and on");
        let updates = (0..10_000).map(update).collect::<Vec<_>>().concat();
        let expected = "ERROR: row 17 is malformed\nframe 9999 of 10000, and so on and on\n";
        assert_eq!(tail(&[b"ERROR: row 17 is malformed\n", updates.as_bytes()]), expected);
        assert_eq!(tail(&[b"ERROR: row 17 is malformed\n", updates.as_bytes(), b"\r\n"]), expected);
    }

    #[test]
    fn the_tail_has_what_a_line_shows_before_it_is_complete() {
        let mut tail = Tail::default();
        for piece in [Piece::Line(b"begin"), Piece::Draft(b"1%"), Piece::Draft(b"2%")] {
            tail.push(&piece);
        }
        assert_eq!(tail.text(), "begin\n2%\n");
    }

    #[test]
    fn the_tail_is_4_kb_of_whole_lines() {
        let lines = (0..10_000).map(|i| format!("line {i}\n")).collect::<Vec<_>>().concat();
        let tail = tail(&[lines.as_bytes()]);
        assert!((TAIL_LIMIT - 10..=TAIL_LIMIT).contains(&tail.len()), "{}", tail.len());
        assert!(lines.ends_with(&format!("\n{tail}")), "{tail}");
    }

    #[test]
    fn the_tail_is_valid_text_whatever_was_printed() {
        let line = ["ä\u{1F99F} and then\n".as_bytes(), &[0xff; 7], b"\n"].concat();
        let text = tail(&[&line.repeat(10_000)]);
        assert!((TAIL_LIMIT - 23..=TAIL_LIMIT).contains(&text.len()), "{}", text.len());
        assert!(text.ends_with("and then\n\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\n"));
        // A line that is longer than all that is told is told from its middle on.
        assert_eq!(tail(&["ä".repeat(LINE_LIMIT / 2 - 1).as_bytes()]).len(), TAIL_LIMIT - 1);
    }
}
