//! The container's log: what the worker says and what the command prints, on its way to standard output.
//!
//! Fargate's log driver is told to lose nothing, so standard output stands still while CloudWatch Logs does. Nothing else may:
//! a thread of its own writes, from a buffer. A full buffer holds up the command, for a minute; what comes later goes into a
//! file, and what that has no room for is lost.
//! Source: AWS Containers blog, "Preventing log loss with non-blocking mode in the AWSLogs container log driver".

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// How much the buffer takes before it holds up the command, in bytes. Lines of the worker's, which are few, wait for nobody, and
/// may fill another one.
const BUFFER: usize = 1 << 20;
/// How much the file takes, in bytes.
const FILE: u64 = 256 << 20;
/// How much of the file is written at a time, in bytes.
const CHUNK: u64 = 64 << 10;
/// How long a log may stand still before the command goes on without it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The log. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    arrived: Condvar,
    /// Something was written.
    written: Notify,
}

#[derive(Debug)]
struct State {
    /// What waits in memory.
    buffer: VecDeque<Vec<u8>>,
    /// How much is in memory, what is being written included, in bytes.
    bytes: usize,
    /// What came after that.
    overflow: Option<Overflow>,
    /// Where its file is made.
    folder: PathBuf,
    is_truncated: bool,
}

/// What the buffer had no room for.
#[derive(Debug)]
struct Overflow {
    /// A file that has no name; none where it could not be made.
    file: Option<File>,
    /// How much was put into it, how much of that was taken out again, and how much found no room, in bytes.
    put: u64,
    taken: u64,
    lost: u64,
}

impl Log {
    /// Writes to `target` from now on. What has no room in memory will be in `folder`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(target: impl Write + Send + 'static, folder: PathBuf) -> io::Result<Self> {
        let state = State { buffer: VecDeque::new(), bytes: 0, overflow: None, folder, is_truncated: false };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new(), written: Notify::new() });
        let writer = shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_to(target))?;
        Ok(Self(shared))
    }

    /// Takes `lines`, and waits for nobody.
    pub fn push(&self, lines: &[u8]) {
        if !lines.is_empty() {
            self.0.state().push(lines);
            self.0.arrived.notify_one();
        }
    }

    /// Waits until the buffer has room, or the log has stood still for a minute.
    pub async fn room(&self) {
        loop {
            let written = self.0.written.notified();
            if self.0.state().has_room() {
                return;
            }
            if timeout(PATIENCE, written).await.is_err() {
                self.0.state().begin_overflow();
                return;
            }
        }
    }

    /// Waits until all is written, for at most `limit`; tells whether it is, and nothing was lost before.
    pub async fn is_whole(&self, limit: Duration) -> bool {
        let written = async {
            loop {
                let written = self.0.written.notified();
                if let State { bytes: 0, overflow: None, is_truncated, .. } = *self.0.state() {
                    return !is_truncated;
                }
                written.await;
            }
        };
        timeout(limit, written).await.unwrap_or(false)
    }
}

/// The worker's own lines.
impl Write for Log {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut target: impl Write) {
        let mut state = self.state();
        loop {
            let Some(content) = state.next() else {
                self.written.notify_waiters();
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let written = target.write_all(&content).and_then(|()| target.flush());
            state = self.state();
            // Where nobody can be written to all is lost, and the command goes on.
            state.is_truncated |= written.is_err();
            state.bytes -= content.len();
            self.written.notify_waiters();
        }
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.overflow.is_some() || self.bytes < BUFFER
    }

    fn push(&mut self, lines: &[u8]) {
        if self.bytes >= 2 * BUFFER {
            self.begin_overflow();
        }
        match &mut self.overflow {
            Some(overflow) => self.is_truncated |= !overflow.put(lines),
            None => self.hold(lines.to_vec()),
        }
    }

    fn hold(&mut self, lines: Vec<u8>) {
        self.bytes += lines.len();
        self.buffer.push_back(lines);
    }

    fn begin_overflow(&mut self) {
        let folder = &self.folder;
        self.overflow.get_or_insert_with(|| Overflow {
            file: tempfile::tempfile_in(folder).ok(),
            put: 0,
            taken: 0,
            lost: 0,
        });
    }

    /// What is to be written next.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty()
            && let Some(overflow) = &mut self.overflow
        {
            if let Some(content) = overflow.take() {
                self.hold(content);
            } else {
                let lost = overflow.lost;
                // From here on there is room in memory again.
                self.overflow = None;
                if lost > 0 {
                    self.is_truncated = true;
                    self.hold(format!("{lost} bytes of the log are missing here: it stood still\n").into());
                }
            }
        }
        self.buffer.pop_front()
    }
}

impl Overflow {
    /// Takes all of `lines` or nothing; tells which.
    fn put(&mut self, lines: &[u8]) -> bool {
        let length = lines.len() as u64;
        // What is behind a gap would be taken for its neighbour.
        let has_room = self.lost == 0 && self.put + length <= FILE;
        let file = self.file.as_ref().filter(|_| has_room);
        if file.is_some_and(|file| file.write_all_at(lines, self.put).is_ok()) {
            self.put += length;
            return true;
        }
        self.lost += length;
        false
    }

    /// The next of it; none where all is taken, or can be.
    fn take(&mut self) -> Option<Vec<u8>> {
        let length = CHUNK.min(self.put - self.taken);
        let mut content = vec![0; usize::try_from(length).ok().filter(|length| *length > 0)?];
        if self.file.as_ref()?.read_exact_at(&mut content, self.taken).is_err() {
            self.lost += self.put - self.taken;
            self.taken = self.put;
            return None;
        }
        self.taken += length;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A log whose reader decides when it goes on, and its lines.
    fn log() -> (Log, UnixStream, tempfile::TempDir) {
        let (reader, writer) = UnixStream::pair().unwrap();
        let folder = tempfile::tempdir().unwrap();
        (Log::start(writer, folder.path().to_owned()).unwrap(), reader, folder)
    }

    fn lines(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| format!("{number:0100}\n").into_bytes()).collect()
    }

    /// Reads until as much has come as `expected` is.
    async fn read(mut reader: UnixStream, expected: &[Vec<u8>]) -> bool {
        let expected = expected.concat();
        let mut content = vec![0; expected.len()];
        let reading = tokio::task::spawn_blocking(move || {
            reader.read_exact(&mut content).unwrap();
            content
        });
        reading.await.unwrap() == expected
    }

    #[tokio::test]
    async fn a_log_that_goes_on_holds_all_in_order() {
        let (log, reader, _folder) = log();
        let lines = lines(50_000);
        let reading = tokio::spawn({
            let lines = lines.clone();
            async move { read(reader, &lines).await }
        });
        for line in &lines {
            log.room().await;
            log.push(line);
        }
        assert!(reading.await.unwrap());
        assert!(log.is_whole(Duration::from_secs(10)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_stands_still_holds_up_the_command_once_and_nothing_is_lost_when_it_goes_on() {
        let (log, reader, _folder) = log();
        let lines = lines(50_000);
        let began = tokio::time::Instant::now();
        for line in &lines {
            log.room().await;
            log.push(line);
        }
        let held_up = began.elapsed();
        assert!((PATIENCE..PATIENCE * 2).contains(&held_up), "held up for {held_up:?}");
        assert!(!log.is_whole(Duration::from_secs(2)).await, "most of it is still here");
        tokio::time::resume();
        assert!(read(reader, &lines).await);
        assert!(log.is_whole(Duration::from_secs(10)).await, "all has come after all");
    }

    #[tokio::test]
    async fn what_finds_no_room_is_missing_and_the_log_says_so() {
        let (log, mut reader, folder) = log();
        let lines = lines(50_000);
        // Where no file can be made there is none.
        drop(folder);
        for line in &lines {
            log.push(line);
        }
        let mut content = String::new();
        let reading = tokio::task::spawn_blocking(move || {
            reader.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let _ = reader.read_to_string(&mut content);
            content
        });
        assert!(!log.is_whole(Duration::from_secs(10)).await);
        log.push(b"the end\n");
        let content = reading.await.unwrap();
        let (_, rest) = content.split_once(" bytes of the log are missing here").expect("the gap is told");
        assert!(rest.ends_with("\nthe end\n"), "{rest}");
    }

    #[tokio::test]
    async fn a_log_that_nobody_reads_any_more_holds_nothing_up() {
        let (log, reader, _folder) = log();
        drop(reader);
        for line in lines(50_000) {
            log.room().await;
            log.push(&line);
        }
        assert!(!log.is_whole(Duration::from_secs(10)).await);
    }

    #[test]
    fn the_file_is_bounded() {
        let file = tempfile::tempfile().unwrap();
        let mut overflow = Overflow { file: Some(file), put: FILE - 3, taken: FILE - 3, lost: 0 };
        assert!(overflow.put(b"ab\n"));
        assert!(!overflow.put(b"c\n"));
        assert!(!overflow.put(b""), "nothing comes after a gap");
        assert_eq!((overflow.take(), overflow.take(), overflow.lost), (Some(b"ab\n".to_vec()), None, 2));
    }
}
