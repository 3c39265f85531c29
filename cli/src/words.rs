//! Small things as a person says them: a duration, a phase, a percentage.

use mayfly_model::message::Phase;

/// A duration in seconds, as a person says it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no job lasts as long, nor less than 0"
)]
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// What a phase is called.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Downloading => "downloading",
        Phase::Running => "running",
        Phase::Uploading => "uploading",
    }
}

/// The percent as a whole number from 0 to 100.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped before")]
pub fn whole(percent: f64) -> u8 {
    percent.clamp(0.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(
            [0.04, 41.2, 125.4, 3725.0].map(duration),
            ["0.0 s", "41.2 s", "2 min 05 s", "1 h 02 min"]
        );
    }
}
