//! What a worker prints, in its log stream: JSON of the form that the real one's subscriber writes.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use local_aws::clock::Clock;
use local_ecs::{Line, LogStream};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a line waits for company, as the stand-in's driver for processes has it.
const INTERVAL: Duration = Duration::from_millis(500);

/// The worker's standard output.
#[derive(Debug)]
pub(super) struct Log {
    job: String,
    clock: Clock,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    lines: mpsc::UnboundedSender<Line>,
    delivery: JoinHandle<()>,
}

impl Log {
    /// Lines go to `stream`, or nowhere.
    pub fn new(job: String, clock: Clock, stream: Option<LogStream>) -> Self {
        let (lines, receiver) = mpsc::unbounded_channel();
        let delivery = tokio::spawn(deliver(receiver, stream, clock));
        Self { job, clock, open: Mutex::new(Some(Open { lines, delivery })) }
    }

    pub fn info(&self, message: &str, fields: Value) {
        self.say("INFO", message, fields);
    }

    pub fn warn(&self, message: &str) {
        self.say("WARN", message, Value::Null);
    }

    fn say(&self, level: &str, message: &str, fields: Value) {
        let time = self.clock.now();
        let mut line = Map::from_iter([
            ("timestamp".to_owned(), json!(format!("{time:.6}"))),
            ("level".to_owned(), json!(level)),
            ("message".to_owned(), json!(message)),
        ]);
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        line.insert("span".to_owned(), json!({ "job": self.job, "name": "worker" }));
        if let Some(open) = &*self.open() {
            // Whoever delivers lives as long as this.
            let _ = open.lines.send(Line { time, text: Value::Object(line).to_string() });
        }
    }

    /// Waits until all is delivered. Nothing can be said any more then.
    pub async fn close(&self) {
        let open = self.open().take();
        if let Some(Open { lines, delivery }) = open {
            drop(lines);
            let _ = delivery.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().expect("no thread panics while it speaks")
    }
}

async fn deliver(mut lines: mpsc::UnboundedReceiver<Line>, stream: Option<LogStream>, clock: Clock) {
    while let Some(first) = lines.recv().await {
        clock.sleep(INTERVAL).await;
        let mut batch = vec![first];
        while let Ok(line) = lines.try_recv() {
            batch.push(line);
        }
        if let Some(stream) = &stream {
            stream.put(batch).await;
        }
    }
}
