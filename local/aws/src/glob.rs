//! Text patterns with wildcards, as IAM, EC2's filters and EventBridge have them.

use regex::Regex;

/// One piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Any characters, also none.
    Any,
    /// Exactly one character.
    One,
    /// This character.
    Literal(char),
}

/// A compiled pattern; it matches the whole of a text, and case counts.
#[derive(Clone, Debug)]
pub struct Glob(Regex);

impl Glob {
    /// A pattern in which `*` stands for any characters and `?` for one, and a backslash takes a wildcard's meaning
    /// away (EC2 user guide, "List and filter using the CLI and API").
    pub fn new(pattern: &str) -> Self {
        let mut characters = pattern.chars();
        Self::of(std::iter::from_fn(|| {
            Some(match characters.next()? {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => Piece::Literal(characters.next().unwrap_or('\\')),
                other => Piece::Literal(other),
            })
        }))
    }

    /// A pattern from its pieces.
    ///
    /// # Panics
    /// If the pattern is megabytes long, which no service would have accepted.
    pub fn of(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut pattern = String::from("(?s)^");
        for piece in pieces {
            match piece {
                Piece::Any => pattern.push_str(".*"),
                Piece::One => pattern.push('.'),
                Piece::Literal(character) => {
                    pattern.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
                }
            }
        }
        pattern.push('$');
        Self(Regex::new(&pattern).expect("an escaped pattern is a regular expression"))
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn wildcards_match_the_whole_text_and_can_be_escaped() {
        for (pattern, text, fits) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*c", "abbbc", true),
            ("a*", "a", true),
            ("a?c", "ac", false),
            ("a?c", "abc", true),
            ("a.c", "abc", false),
            ("a*c", "a\nc", true),
            (r"a\*c", "abc", false),
            (r"a\*c", "a*c", true),
            ("ABC", "abc", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), fits, "{pattern} on {text}");
        }
    }
}
