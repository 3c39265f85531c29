//! What the command prints: split into lines, and its last 4 KB. Memory is bounded however long a line is.

/// A longer line is cut.
const LINE_LIMIT: usize = 8 * 1024;
/// What a report holds of the output, in bytes.
const TAIL_LIMIT: usize = 4 * 1024;

/// A piece of what is printed.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line that stays.
    Line(&'a [u8]),
    /// A line that ended with a carriage return: the next one takes its place, as on a terminal. ffmpeg shows its
    /// progress like this.
    Draft(&'a [u8]),
    /// A newline after a draft, which makes it stay.
    Keep,
}

/// Splits what is printed.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Vec<u8>,
    after_draft: bool,
}

impl Splitter {
    /// Takes the next `bytes` and hands on what they complete.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_draft => each(Piece::Keep),
                b'\n' => self.end_line(false, &mut each),
                b'\r' if self.line.is_empty() => continue,
                b'\r' => self.end_line(true, &mut each),
                byte => {
                    self.line.push(byte);
                    if self.line.len() == LINE_LIMIT {
                        self.end_line(false, &mut each);
                    }
                }
            }
            self.after_draft = byte == b'\r';
        }
    }

    /// Hands on what the stream ended with, if no newline came after it.
    pub fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        if !self.line.is_empty() {
            self.end_line(false, &mut each);
        }
    }

    fn end_line(&mut self, is_draft: bool, each: &mut impl FnMut(Piece<'_>)) {
        each(if is_draft { Piece::Draft(&self.line) } else { Piece::Line(&self.line) });
        self.line.clear();
    }
}

/// The end of the output.
#[derive(Debug, Default)]
pub struct Tail {
    text: Vec<u8>,
    /// Where the draft begins that the next line replaces.
    draft: Option<usize>,
}

impl Tail {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &Piece<'_>) {
        let draft = self.draft.take();
        let (Piece::Line(line) | Piece::Draft(line)) = piece else { return };
        if let Some(start) = draft {
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

    /// The last 4 KB as text.
    pub fn text(&self) -> String {
        let start = self.text.len().saturating_sub(TAIL_LIMIT);
        let text = String::from_utf8_lossy(&self.text[start..]);
        // A replacement character is longer than the byte that it stands for.
        let start = text.ceil_char_boundary(text.len().saturating_sub(TAIL_LIMIT));
        text[start..].to_owned()
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
                Piece::Keep => "!".to_owned(),
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
        assert_eq!(pieces(&["one\ntw", "o\r1%\r2%\r", "\nend"]), ["=one", "~two", "~1%", "~2%", "!", "=end"]);
    }

    #[test]
    fn empty_lines_stay_and_empty_drafts_do_not() {
        assert_eq!(pieces(&["\n\r\r\n1%\r\r\n"]), ["=", "=", "~1%", "!"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let line = "x".repeat(3 * LINE_LIMIT + 1);
        assert_eq!(pieces(&[&line]).iter().map(String::len).max(), Some(LINE_LIMIT + 1));
    }

    #[test]
    fn the_tail_keeps_the_last_draft_only() {
        let mut tail = Tail::default();
        for piece in [
            Piece::Line(b"begin"),
            Piece::Draft(b"1%"),
            Piece::Draft(b"2%"),
            Piece::Keep,
            Piece::Line(b"end"),
        ] {
            tail.push(&piece);
        }
        assert_eq!(tail.text(), "begin\n2%\nend\n");
    }

    #[test]
    fn the_tail_is_4_kb_of_valid_text() {
        let mut tail = Tail::default();
        for _ in 0..10_000 {
            tail.push(&Piece::Line("ä\u{1F99F} and then".as_bytes()));
            tail.push(&Piece::Line(&[0xff; 7]));
        }
        let text = tail.text();
        assert!((TAIL_LIMIT - 4..=TAIL_LIMIT).contains(&text.len()), "{}", text.len());
        assert!(text.ends_with("and then\n\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\n"));
    }
}
