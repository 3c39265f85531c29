//! What a person sees while a job runs: live bars below finished lines on a terminal, plain lines anywhere else.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use mayfly_model::message::{Phase, Progress};
use mayfly_model::visible::{settled, visible};

use crate::steps::{Change, Leaving, StepId, What};
use crate::waits;
use crate::words::{self, duration, whole};

/// Columns of a step's name, its indentation and the dots after it.
const LABEL_WIDTH: usize = 28;
/// How often a bar turns.
const TICK: Duration = Duration::from_millis(120);

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As any other.
    Plain,
    /// A heading.
    Strong,
    /// Success.
    Good,
    /// Failure, or something that is left behind.
    Bad,
    /// Beside the point.
    Faint,
}

/// A line and how it is meant.
pub type Line = (Tone, String);

/// Where a person looks.
pub struct View {
    surface: Surface,
    zone: TimeZone,
    /// The open steps, by their execution's number and their own.
    steps: BTreeMap<(usize, StepId), Shown>,
}

enum Surface {
    Terminal(MultiProgress),
    Plain(Box<dyn Write>),
}

struct Shown {
    label: String,
    /// What it waits for.
    reason: &'static str,
    since: Timestamp,
    /// On a terminal.
    bar: Option<ProgressBar>,
    /// Elsewhere: whether it has a line of its own.
    is_announced: bool,
    /// Elsewhere: the last progress that got a line, its percent in tens.
    told: Option<(Phase, Option<u8>)>,
}

impl View {
    /// Shows everything on standard output: live if that is a terminal.
    pub fn on_stdout() -> Self {
        if std::io::stdout().is_terminal() {
            let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            return Self::new(Surface::Terminal(bars), TimeZone::system());
        }
        Self::new(Surface::Plain(Box::new(std::io::stdout())), TimeZone::system())
    }

    /// Shows plain lines on standard error.
    pub fn on_stderr() -> Self {
        Self::new(Surface::Plain(Box::new(std::io::stderr())), TimeZone::system())
    }

    fn new(surface: Surface, zone: TimeZone) -> Self {
        Self { surface, zone, steps: BTreeMap::new() }
    }

    /// Shows a line, or several.
    pub fn line(&mut self, tone: Tone, text: &str) -> Result<()> {
        let text = &*visible(text);
        match &mut self.surface {
            Surface::Terminal(bars) => {
                bars.suspend(|| writeln!(std::io::stdout(), "{}", paint(tone, text)))?;
            }
            Surface::Plain(out) => {
                writeln!(out, "{text}")?;
                out.flush()?;
            }
        }
        Ok(())
    }

    /// Shows a change of a step of the execution `number`, indented by `depth`.
    pub fn show(&mut self, number: usize, depth: usize, change: &Change) -> Result<()> {
        // The step that waits for this execution comes first.
        self.announce_before(number)?;
        let key = (number, change.step);
        let label = format!("{}{}", "  ".repeat(depth), change.name);
        match &change.what {
            What::Entered => {
                let reason = waits::reason(&change.name);
                let bar = self.bar(&label, reason, change.at);
                let shown = Shown { label, reason, since: change.at, bar, is_announced: false, told: None };
                self.steps.insert(key, shown);
                Ok(())
            }
            What::Stumbled(why) => {
                if let Some(shown) = self.steps.get_mut(&key) {
                    shown.is_announced = true;
                }
                self.step_line(Tone::Faint, change.at, &padded(&label), why)
            }
            What::Said(words) => self.step_line(Tone::Strong, change.at, words, ""),
            What::Left { how, seconds, tries } => {
                if let Some(Shown { bar: Some(bar), .. }) = self.steps.remove(&key) {
                    bar.finish_and_clear();
                }
                let (tone, how) = match how {
                    Leaving::Done => (Tone::Plain, ""),
                    Leaving::Failed => (Tone::Bad, "failed after "),
                    Leaving::Stopped => (Tone::Faint, "stopped after "),
                };
                let tries = if *tries > 1 { format!(", {tries} tries") } else { String::new() };
                let rest = format!("{how}{}{tries}", duration(*seconds));
                self.step_line(tone, change.at, &dotted(&label), &rest)
            }
        }
    }

    /// Gives each step that is still open, and not yet seen, a line of its own; a terminal has its bar.
    pub fn announce(&mut self) -> Result<()> {
        self.announce_before(usize::MAX)
    }

    /// The same for the executions before the one called `number`.
    fn announce_before(&mut self, number: usize) -> Result<()> {
        if matches!(self.surface, Surface::Terminal(_)) {
            return Ok(());
        }
        let mut lines = Vec::new();
        let earlier = self.steps.range_mut(..(number, StepId::default())).map(|(_, shown)| shown);
        for shown in earlier.filter(|shown| !shown.is_announced) {
            shown.is_announced = true;
            lines.push((shown.since, padded(&shown.label), shown.reason));
        }
        lines.into_iter().try_for_each(|(at, label, reason)| self.step_line(Tone::Plain, at, &label, reason))
    }

    /// Shows how far the container is, in the step that waits for it.
    pub fn progress(&mut self, number: usize, step: StepId, progress: &Progress) -> Result<()> {
        let Some(shown) = self.steps.get_mut(&(number, step)) else { return Ok(()) };
        let Progress { phase, percent, line } = progress;
        let line = settled(line.as_deref().unwrap_or_default());
        let percent = percent.map(whole);
        if let Some(bar) = &shown.bar {
            bar.set_message(format!("{}  {line}", words::phase(*phase)));
            bar.set_style(if percent.is_some() { with_percent() } else { without_percent() });
            bar.set_position(percent.unwrap_or_default().into());
            return Ok(());
        }
        let told = Some((*phase, percent.map(|percent| percent / 10)));
        if shown.told == told {
            return Ok(());
        }
        (shown.told, shown.is_announced) = (told, true);
        let label = padded(&shown.label);
        let percent = percent.map(|percent| format!("{percent:>3} %")).unwrap_or_default();
        self.step_line(
            Tone::Plain,
            Timestamp::now(),
            &label,
            &format!("{:<11} {percent:>5}  {line}", words::phase(*phase)),
        )
    }

    /// Puts a question to the person, without bars in between.
    pub async fn ask<T: Send + 'static>(&self, question: fn() -> std::io::Result<T>) -> Result<T> {
        let asked = match &self.surface {
            Surface::Terminal(bars) => {
                let bars = bars.clone();
                tokio::task::spawn_blocking(move || bars.suspend(question))
            }
            Surface::Plain(_) => tokio::task::spawn_blocking(question),
        };
        Ok(asked.await??)
    }

    /// Takes what is live off the terminal.
    pub fn clear(&mut self) {
        for bar in std::mem::take(&mut self.steps).into_values().filter_map(|shown| shown.bar) {
            bar.finish_and_clear();
        }
    }

    fn bar(&self, label: &str, reason: &'static str, since: Timestamp) -> Option<ProgressBar> {
        let Surface::Terminal(bars) = &self.surface else { return None };
        let so_far = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
        let bar = bars.add(ProgressBar::new(100).with_style(without_percent()).with_elapsed(so_far));
        bar.set_prefix(format!("{}  {}", self.clock(since), visible(&padded(label))));
        bar.set_message(reason);
        bar.enable_steady_tick(TICK);
        Some(bar)
    }

    fn step_line(&mut self, tone: Tone, at: Timestamp, label: &str, rest: &str) -> Result<()> {
        let line = format!("  {}  {label} {rest}", self.clock(at));
        self.line(tone, line.trim_end())
    }

    fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }
}

fn paint(tone: Tone, text: &str) -> String {
    let text = style(text);
    match tone {
        Tone::Plain => text,
        Tone::Strong => text.bold(),
        Tone::Good => text.green().bold(),
        Tone::Bad => text.red(),
        Tone::Faint => text.dim(),
    }
    .to_string()
}

fn padded(label: &str) -> String {
    format!("{label:<LABEL_WIDTH$}")
}

fn dotted(label: &str) -> String {
    format!("{:.<LABEL_WIDTH$}", format!("{label} "))
}

fn without_percent() -> ProgressStyle {
    template("  {prefix} {spinner} {elapsed}  {wide_msg:.dim}")
}

fn with_percent() -> ProgressStyle {
    template("  {prefix} [{bar:24}] {pos:>3} % {elapsed}  {wide_msg:.dim}").progress_chars("=> ")
}

fn template(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.borrow().clone()).unwrap().lines().map(Into::into).collect()
        }
    }

    fn plain() -> (View, Paper) {
        let paper = Paper::default();
        (View::new(Surface::Plain(Box::new(paper.clone())), TimeZone::UTC), paper)
    }

    fn change(step: StepId, name: &str, at: i64, what: What) -> Change {
        Change { step, name: name.into(), at: Timestamp::from_second(at).unwrap(), what }
    }

    fn left(how: Leaving, seconds: f64, tries: u32) -> What {
        What::Left { how, seconds, tries }
    }

    #[test]
    fn a_step_that_is_over_at_once_has_one_line() {
        let (mut view, paper) = plain();
        view.show(0, 0, &change(2, "PlanJob", 1, What::Entered)).unwrap();
        view.show(0, 0, &change(2, "PlanJob", 1, left(Leaving::Done, 0.21, 1))).unwrap();
        view.announce().unwrap();
        assert_eq!(paper.lines(), ["  00:00:01  PlanJob .................... 0.2 s"]);
    }

    #[test]
    fn a_step_that_takes_time_has_a_line_when_it_starts_and_one_when_it_ends() {
        let (mut view, paper) = plain();
        view.show(0, 0, &change(2, "TearDown", 1, What::Entered)).unwrap();
        view.announce().unwrap();
        view.announce().unwrap();
        view.show(1, 1, &change(2, "DeleteTask", 2, What::Entered)).unwrap();
        view.show(1, 1, &change(2, "DeleteTask", 3, What::Stumbled("StillInUse: 1 task".into()))).unwrap();
        view.show(1, 1, &change(2, "DeleteTask", 9, left(Leaving::Done, 7.0, 3))).unwrap();
        view.show(0, 0, &change(2, "TearDown", 75, left(Leaving::Failed, 74.0, 1))).unwrap();
        assert_eq!(
            paper.lines(),
            [
                "  00:00:01  TearDown",
                "  00:00:03    DeleteTask                 StillInUse: 1 task",
                "  00:00:09    DeleteTask ............... 7.0 s, 3 tries",
                "  00:01:15  TearDown ................... failed after 1 min 14 s",
            ]
        );
    }

    #[test]
    fn a_step_that_only_waits_says_what_for() {
        let (mut view, paper) = plain();
        view.show(0, 0, &change(2, "AwaitNatGateway", 1, What::Entered)).unwrap();
        view.announce().unwrap();
        let line = "  00:00:01  AwaitNatGateway              the NAT gateway is pending, on AWS for about two minutes";
        assert_eq!(paper.lines(), [line]);
    }

    #[test]
    fn progress_has_a_line_for_each_ten_percent_and_each_phase() {
        let (mut view, paper) = plain();
        view.show(0, 0, &change(2, "DispatchJob", 1, What::Entered)).unwrap();
        let steps = [
            (Phase::Downloading, None),
            (Phase::Downloading, None),
            (Phase::Running, Some(1.0)),
            (Phase::Running, Some(9.9)),
            (Phase::Running, Some(42.0)),
            (Phase::Uploading, Some(142.0)),
        ];
        for (phase, percent) in steps {
            view.progress(0, 2, &Progress { phase, percent, line: Some("frame=1".into()) }).unwrap();
        }
        let told: Vec<_> = paper.lines().iter().map(|line| line[12..].to_owned()).collect();
        assert_eq!(
            told,
            [
                "DispatchJob                  downloading        frame=1",
                "DispatchJob                  running       1 %  frame=1",
                "DispatchJob                  running      42 %  frame=1",
                "DispatchJob                  uploading   100 %  frame=1",
            ]
        );
    }
}
