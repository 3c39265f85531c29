//! Prints everything that is not the live view. Nothing that a job, a command or AWS says can be an escape sequence
//! there.

use std::io::{Result, Write, stderr, stdout};

use mayfly_model::visible::{visible, visible_json};
use serde::Serialize;

/// Prints lines on standard output.
pub fn print(text: &str) -> Result<()> {
    writeln!(stdout(), "{}", visible(text))
}

/// Prints JSON on standard output.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    writeln!(stdout(), "{}", visible_json(value)?)
}

/// Says something on standard error; it is no failure if nobody listens.
pub fn tell(text: &str) {
    _ = writeln!(stderr(), "{}", visible(text));
}

/// Puts a question on standard error.
pub fn ask(question: &str) -> Result<()> {
    write!(stderr(), "{} ", visible(question))
}
