//! Tells how far the command is, by what it prints.

use std::sync::LazyLock;

use mayfly_model::message::{Phase, Progress};
use regex::Regex;

/// The longest line that a heartbeat carries, in characters.
pub const LINE_LIMIT: usize = 200;

/// ffmpeg's description of an input: `  Duration: 00:00:05.00, start: 0.000000, bitrate: 33 kb/s`.
static DURATION: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bDuration: (\d+):(\d\d):(\d\d(?:\.\d+)?)"));
/// ffmpeg's statistics: `frame=  125 fps=0.0 q=-1.0 Lsize=      24kB time=00:00:04.96 bitrate=  39.2kbits/s speed= 118x`.
static TIME: LazyLock<Regex> = LazyLock::new(|| pattern(r"\btime=(\d+):(\d\d):(\d\d(?:\.\d+)?)"));
/// The same with `-progress`: `out_time_us=4960000`.
static OUT_TIME: LazyLock<Regex> = LazyLock::new(|| pattern(r"^out_time_us=(\d+)$"));

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern is valid")
}

/// Of `total`, `done` in percent with one decimal; none where the total is unknown.
pub fn percent(done: u64, total: u64) -> Option<f64> {
    let tenths = (u128::from(done) * 1000).checked_div(u128::from(total))?.min(1000);
    u32::try_from(tenths).ok().map(|tenths| f64::from(tenths) / 10.0)
}

/// Follows the command's output.
#[derive(Debug, Default)]
pub struct Meter {
    /// Of the longest input, in seconds.
    duration: Option<f64>,
    percent: Option<f64>,
    line: Option<String>,
}

impl Meter {
    /// Takes a line of output.
    pub fn observe(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if let Some(duration) = clock(&DURATION, line) {
            self.duration = Some(self.duration.unwrap_or(0.0).max(duration));
        }
        if let (Some(position), Some(duration)) =
            (position(line), self.duration.filter(|duration| *duration > 0.0))
        {
            self.percent = Some((position / duration * 1000.0).round().min(1000.0) / 10.0);
        }
        self.line = Some(line.chars().filter(|c| !c.is_control()).take(LINE_LIMIT).collect());
    }

    /// What a heartbeat says.
    pub fn progress(&self) -> Progress {
        Progress { phase: Phase::Running, percent: self.percent, line: self.line.clone() }
    }
}

/// Where ffmpeg is in its output, in seconds.
fn position(line: &str) -> Option<f64> {
    let micros = || OUT_TIME.captures(line)?[1].parse::<f64>().ok().map(|micros| micros / 1e6);
    clock(&TIME, line).or_else(micros)
}

/// The hours, minutes and seconds that `pattern` finds, in seconds.
fn clock(pattern: &Regex, line: &str) -> Option<f64> {
    let (_, [hours, minutes, seconds]) = pattern.captures(line)?.extract();
    let number = |text: &str| text.parse::<f64>().ok();
    Some(number(hours)? * 3600.0 + number(minutes)? * 60.0 + number(seconds)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Progress {
        let mut meter = Meter::default();
        for line in lines {
            meter.observe(line.as_bytes());
        }
        meter.progress()
    }

    const INPUT: &str = "  Duration: 00:01:40.00, start: 0.000000, bitrate: 33 kb/s";

    #[test]
    fn ffmpeg_is_followed_by_its_statistics() {
        let line =
            "frame=  125 fps=0.0 q=-1.0 size=      24kB time=00:00:12.34 bitrate=  39.2kbits/s speed= 118x";
        let progress = after(&[INPUT, line]);
        assert_eq!(progress.percent, Some(12.3));
        assert_eq!(progress.line.as_deref(), Some(line));
    }

    #[test]
    fn ffmpeg_is_followed_by_its_progress_option() {
        assert_eq!(after(&[INPUT, "out_time_us=50000000", "progress=continue"]).percent, Some(50.0));
    }

    #[test]
    fn the_longest_input_counts_and_nothing_is_beyond_the_end() {
        assert_eq!(after(&[INPUT, "Duration: 00:00:01.00,", "time=00:00:25.00"]).percent, Some(25.0));
        assert_eq!(after(&[INPUT, "time=01:00:00.00"]).percent, Some(100.0));
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        assert_eq!(after(&["time=00:00:01.00"]).percent, None);
        assert_eq!(after(&[INPUT, "size=N/A time=N/A bitrate=N/A"]).percent, None);
        assert_eq!(after(&["Duration: N/A", "time=00:00:01.00"]).percent, None);
    }

    #[test]
    fn the_last_line_is_shown_without_control_characters() {
        assert_eq!(after(&["first", "\u{1b}[1mbold\u{7}", "  "]).line.as_deref(), Some("[1mbold"));
        assert_eq!(after(&[&"ä".repeat(1000)]).line.map(|line| line.chars().count()), Some(200));
    }

    #[test]
    fn percent_has_one_decimal() {
        assert_eq!(percent(1, 3), Some(33.3));
        assert_eq!(percent(u64::MAX, u64::MAX), Some(100.0));
        assert_eq!(percent(5, 3), Some(100.0));
        assert_eq!(percent(0, 0), None);
    }
}
