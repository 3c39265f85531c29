//! What the functions write to their logs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// How the names of the crates begin that are no part of the product.
const OTHERS: [&str; 2] = ["local_", "mayfly_simulation"];

/// All lines so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// Writes down from now on what is logged on this thread, as Lambda does by default: from INFO on, in JSON (Lambda
    /// developer guide, "Configuring advanced logging controls for Lambda functions").
    pub fn listen() -> (Self, DefaultGuard) {
        let said = Self::default();
        let others = OTHERS.map(|prefix| (prefix, LevelFilter::OFF));
        let product = Targets::new().with_default(LevelFilter::INFO).with_targets(others);
        let lines = tracing_subscriber::fmt::layer().json().with_writer(said.clone());
        let subscriber = tracing_subscriber::registry().with(product).with(lines);
        (said, tracing::subscriber::set_default(subscriber))
    }

    /// The lines so far.
    ///
    /// # Panics
    /// Where a thread has panicked while it wrote one.
    pub fn lines(&self) -> Vec<String> {
        let written = self.0.lock().expect("no thread panics while it writes a line");
        String::from_utf8_lossy(&written).lines().map(str::to_owned).collect()
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no thread panics while it writes a line").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Said {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
