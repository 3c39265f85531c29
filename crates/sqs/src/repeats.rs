//! When a report whose handling has failed comes back to handle-report.

use std::time::Duration;

/// How long a report is hidden after its first failure.
const FIRST: Duration = Duration::from_secs(5);

/// How long at most. With the queue's `maxReceiveCount` that makes more than an hour of tries, before a report is put with
/// the dead letters.
const LONGEST: Duration = Duration::from_mins(5);

/// How long a report is hidden that has been received so often: twice as long as the time before.
pub fn hidden_for(receives: u32) -> Duration {
    let doublings = receives.saturating_sub(1).min(u32::BITS - 1);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_after_five_seconds_and_then_ever_more_seldom() {
        let seconds = [0, 1, 2, 3, 6, 7, 20, u32::MAX].map(|receives| hidden_for(receives).as_secs());
        assert_eq!(seconds, [5, 5, 10, 20, 160, 300, 300, 300]);
    }
}
