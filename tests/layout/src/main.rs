//! Lays out the state machines whose files are named, in place. `make fmt` runs it.

use std::{env, fs};

use anyhow::{Context, Result};

fn main() -> Result<()> {
    for file in env::args().skip(1) {
        let text = fs::read_to_string(&file).with_context(|| file.clone())?;
        let laid_out = mayfly_layout::laid_out(&text).with_context(|| file.clone())?;
        if laid_out != text {
            fs::write(&file, laid_out).with_context(|| file.clone())?;
        }
    }
    Ok(())
}
