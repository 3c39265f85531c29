//! Runs thousands of jobs on virtual time, each in a process of its own, and counts what does not hold.
#![allow(clippy::large_futures, reason = "a behaviour is the one future of its process")]

mod support;

mod attempts; // what is tried again, on what, and how often
mod classes; // classes of failure, by what ECS and a container do
mod consistency; // what EC2 does not know yet, or does not answer now, is tried again
mod expiry; // signed URLs expire, and fresh ones are given
mod five_jobs; // jobs at the same time never see each other's messages
mod held_up; // a result counts however long its handling is held up
mod leftovers; // a teardown that cannot remove everything says so
mod neighbours; // jobs of the same or a similar name never touch each other
mod networks; // a job has a network of its own, and nothing of it is left
mod quotas; // a full quota is told, or waited for
mod refused; // what cannot run is refused in words, before anything is created
mod reports; // what is stale, false or garbage changes nothing
mod results; // a result that SQS has accepted is never lost
mod services; // a service runs for as long as it may, and leaves nothing
mod slow_to_go; // what AWS is slow to delete holds up no teardown and deceives no proof
mod stopped; // a job that is stopped, wherever it stands, leaves nothing
mod swept; // the sweeper finds what every other teardown has missed

mod matrix; // every single fault, and every stop, of a job
mod mutants; // mistakes that are made again are found
mod randomness; // what is random follows from a seed
mod trials; // what `make test` runs of all

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::{ArgGroup, Parser};
use mayfly_simulation::circumstance::Circumstance;
use mayfly_simulation::draw;
use mayfly_simulation::faults::{Fault, What};
use mayfly_simulation::load::carry;
use mayfly_simulation::run::{Report, Scenario, Visit, play};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::behaviour::ARGUMENT;

/// How many runs go on at the same time.
const SIDE_BY_SIDE: usize = 2;

/// By which arguments this is more than a test.
const COMMANDS: [&str; 7] = ["--seed", "--matrix", "--load", "--mutants", "--one", "--trunk", ARGUMENT];

#[derive(Debug, Parser)]
#[command(group(ArgGroup::new("what").required(true).args(["seed", "matrix", "load", "mutants", "one", "trunk", "behaviour"])))]
struct Arguments {
    /// The first seed.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds, from the first on. Of one alone all that happens is printed.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Every single fault of every call, run and state of a clean job of this mode.
    #[arg(long)]
    matrix: Option<String>,
    /// So many jobs in one account.
    #[arg(long)]
    load: Option<usize>,
    /// Whether mistakes are found that are brought back into the product: those of these names, or all.
    #[arg(long, num_args = 0..)]
    mutants: Option<Vec<String>>,
    /// One run in this process, as JSON; what it came to is written as JSON.
    #[arg(long, hide = true)]
    one: Option<String>,
    /// A run from which others branch off in this process, as JSON; what each came to is written as JSON.
    #[arg(long, hide = true)]
    trunk: Option<String>,
    /// One behaviour in this process, by its name.
    #[arg(long, hide = true)]
    behaviour: Option<String>,
}

/// One run, as one process tells another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    seed: u64,
    mode: Option<String>,
    faults: Option<Vec<Fault>>,
    circumstances: Option<Vec<Circumstance>>,
    stop: Option<Stop>,
    /// In place of a job, the behaviour of this name.
    #[serde(default)]
    behaviour: Option<String>,
    #[serde(default)]
    with_trace: bool,
    #[serde(default)]
    with_made: bool,
}

/// Where the job is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    /// How many milliseconds after its start.
    after: u64,
    /// Of which machine that is a state, by its file.
    machine: String,
    /// The state.
    state: String,
}

impl Order {
    /// As it is given to a process.
    fn text(&self) -> String {
        serde_json::to_string(self).expect("it has nothing that JSON has not")
    }

    /// Whether nothing goes wrong that keeps a job from succeeding: at most one fault, which is no refusal.
    fn is_bearable(&self) -> bool {
        let is_bearable = |faults: &Vec<Fault>| matches!(&faults[..], [fault] if fault.what != What::Denied);
        self.mode.is_some()
            && self.faults.as_ref().is_none_or(is_bearable)
            && self.circumstances.is_none()
            && self.stop.is_none()
    }

    fn scenario(self) -> Scenario {
        match self.mode {
            Some(mode) => {
                let mut circumstances = self.circumstances.unwrap_or_default();
                circumstances.extend(self.stop.map(|stop| Circumstance::Stopped(stop.after)));
                draw::of_mode(&mode, self.faults.unwrap_or_default(), circumstances)
            }
            None => draw::of_seed(self.seed, self.faults, self.circumstances),
        }
    }
}

fn main() -> Result<ExitCode> {
    if !std::env::args().any(|argument| COMMANDS.contains(&argument.as_str())) {
        return Ok(
            libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials::all_trials()).exit_code()
        );
    }
    let Arguments { seed, runs, matrix: mode, load, mutants, one: order, trunk, behaviour } =
        Arguments::parse();
    if let Some(jobs) = load {
        randomness::seed(0);
        let load = runtime()?.block_on(carry(jobs))?;
        println!("{load}");
        return Ok(if load.is_carried() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(order) = order {
        return one(serde_json::from_str(&order)?);
    }
    if let Some(trunk) = trunk {
        return matrix::play_trunk(serde_json::from_str(&trunk)?);
    }
    if let Some(name) = behaviour {
        let found = trials::behaviours().into_iter().find(|behaviour| behaviour.name() == name);
        return found.with_context(|| format!("there is no {name}"))?.run();
    }
    if let Some(names) = mutants {
        return mutants::find_all(&names);
    }
    let has_found = match mode {
        Some(mode) => matrix::run(&mode)?,
        None => run(&seeds(seed.unwrap_or_default(), runs))?,
    };
    Ok(if has_found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The runs of `runs` seeds.
fn seeds(first: u64, runs: u64) -> Vec<Order> {
    let order = |seed| Order { seed, with_trace: runs == 1, ..Order::default() };
    (first..first + runs).map(order).collect()
}

/// What all goes on in, on virtual time.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?)
}

/// One run in this process.
fn one(order: Order) -> Result<ExitCode> {
    randomness::seed(order.seed);
    let (with_trace, with_made) = (order.with_trace, order.with_made);
    let mut report = runtime()?.block_on(play(order.scenario(), with_trace))?;
    for line in &report.trace {
        println!("{line}");
    }
    if !with_made {
        report.made.clear();
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(ExitCode::SUCCESS)
}

/// What a process that was started for a run has printed: all that happened, and what it came to.
fn elsewhere(order: &Order) -> Result<(String, Report)> {
    elsewhere_by(&std::env::current_exe()?, order)
}

/// The same of another build of this program.
fn elsewhere_by(program: &Path, order: &Order) -> Result<(String, Report)> {
    let arguments = match &order.behaviour {
        Some(name) => [ARGUMENT.to_owned(), name.clone()],
        None => ["--one".to_owned(), order.text()],
    };
    let output = Command::new(program)
        .args(arguments)
        // What goes wrong is told in words.
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::piped())
        .output()
        .context("the program could not be started")?;
    let text = String::from_utf8(output.stdout)?;
    let (trace, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    // A run that panics is one that has found something.
    let mut report = serde_json::from_str(last).unwrap_or_else(|_| {
        let told = String::from_utf8_lossy(&output.stderr);
        let what = order.behaviour.as_deref().unwrap_or("the run");
        let is_over = order.behaviour.is_some() && output.status.success();
        let violation = (!is_over).then(|| format!("{what} ended with {}: {told}", output.status));
        Report { violations: violation.into_iter().collect(), ..Report::default() }
    });
    judge(order, &mut report);
    Ok((trace.to_owned(), report))
}

/// What a run of `order`, which has no fault, comes to and is made of.
fn clean_run(order: &Order) -> Result<Report> {
    let (_, report) = elsewhere(&Order { with_made: true, ..order.clone() })?;
    ensure!(report.violations.is_empty(), "a clean run is none: {:#?}", report.violations);
    Ok(report)
}

/// Adds what does not hold of a run of this order, besides what holds of every run.
fn judge(order: &Order, report: &mut Report) {
    if order.is_bearable() {
        report.violations.extend(unclean(report));
    }
    if let Some(stop) = &order.stop {
        report.violations.extend(unstopped(stop, report));
    }
}

/// What a job comes to that nothing should have kept from succeeding, where it is not what it should be.
fn unclean(report: &Report) -> Option<String> {
    let residual = report.outcome.as_ref().map_or(&Value::Null, |outcome| &outcome["receipt"]["residual"]);
    let is_clean = report.status == "Succeeded" && *residual == json!([]);
    (!is_clean).then(|| {
        format!("nothing went wrong that matters, and the job {}, with this left: {residual}", report.status)
    })
}

/// What is left of a job that was stopped when the teardown of the rule has ended, or that it was not stopped there.
fn unstopped(stop: &Stop, report: &Report) -> Vec<String> {
    let mut violations: Vec<_> =
        report.left.iter().map(|what| format!("left by the rule's teardown: {what}")).collect();
    let is_it = |visit: &Visit| visit.machine == stop.machine && visit.state == stop.state;
    if !report.states.iter().any(|visit| visit.until.is_none() && is_it(visit)) {
        violations.push(format!("the job is {} and was not stopped in {}", report.status, stop.state));
    }
    violations
}

/// The same run, stopped in the middle of `visit`, which comes in it; none where that takes no time.
fn stopped_in(visit: &Visit, order: &Order) -> Option<Order> {
    let length = visit.until? - visit.from;
    let Visit { machine, state, .. } = visit.clone();
    (length > 0).then(|| Order {
        stop: Some(Stop { after: visit.from + length / 2, machine, state }),
        ..order.clone()
    })
}

/// A run in which something does not hold.
type Found = (Order, Report);

/// Runs all, two at a time, and shows some of the runs in which something does not hold. Gives whether there was one.
fn run(orders: &[Order]) -> Result<bool> {
    let counted = Mutex::new(Counted::of(orders.len()));
    all(&std::env::current_exe()?, orders, &counted, false)?;
    shown(counted)
}

/// Shows what was counted, and some of the runs in which something does not hold. Gives whether there was one.
fn shown(counted: Mutex<Counted>) -> Result<bool> {
    let mut counted = counted.into_inner().expect("no thread has panicked");
    counted.found.sort_by_key(|(order, _)| order.seed);
    for (order, report) in counted.found.iter().take(SHOWN) {
        show(&shortest(order, report)?, report);
    }
    println!("{counted}");
    Ok(!counted.found.is_empty())
}

/// Runs all by `program`, two at a time, or no more as soon as something does not hold.
fn all(program: &Path, orders: &[Order], counted: &Mutex<Counted>, until_found: bool) -> Result<()> {
    let next = AtomicUsize::new(0);
    side_by_side(|_| {
        while let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (trace, report) = elsewhere_by(program, order)?;
            if !trace.is_empty() {
                println!("{trace}");
            }
            if until_found && !report.violations.is_empty() {
                next.store(orders.len(), Ordering::Relaxed);
            }
            lock(counted).add(order.clone(), report);
        }
        Ok(())
    })
}

/// Does this for each of as many as go on at the same time, by its number.
fn side_by_side(run: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..SIDE_BY_SIDE).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })
}

fn lock(counted: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    counted.lock().expect("no thread panics while it counts")
}

/// After how many runs it is said how far it is.
const AT_A_TIME: usize = 1000;

/// What all runs together came to.
#[derive(Debug)]
struct Counted {
    begun: Instant,
    of: usize,
    found: Vec<Found>,
    runs: usize,
    by_end: BTreeMap<String, usize>,
    faults: usize,
    seconds: f64,
    leaks: usize,
    lost: usize,
    untrue: usize,
    others: usize,
}

impl Counted {
    /// None yet, of so many.
    fn of(runs: usize) -> Self {
        Self {
            begun: Instant::now(),
            of: runs,
            found: Vec::new(),
            runs: 0,
            by_end: BTreeMap::new(),
            faults: 0,
            seconds: 0.0,
            leaks: 0,
            lost: 0,
            untrue: 0,
            others: 0,
        }
    }

    fn add(&mut self, order: Order, report: Report) {
        self.runs += 1;
        let class = report.outcome.as_ref().and_then(|outcome| outcome["error"].as_str());
        *self.by_end.entry(class.unwrap_or(&report.status).to_owned()).or_default() += 1;
        self.faults += report.faults.len();
        self.seconds += report.seconds;
        let has = |begin: &str| report.violations.iter().any(|violation| violation.starts_with(begin));
        self.leaks += usize::from(has("left"));
        self.lost += usize::from(has("lost result"));
        self.untrue += usize::from(has("untrue outcome"));
        let known = |violation: &&String| {
            ["left", "lost result", "untrue outcome"].iter().any(|begin| violation.starts_with(begin))
        };
        self.others += usize::from(report.violations.iter().any(|violation| !known(&violation)));
        if self.runs.is_multiple_of(AT_A_TIME) {
            eprintln!("{} of {} runs in {} s", self.runs, self.of, self.begun.elapsed().as_secs());
        }
        if !report.violations.is_empty() {
            self.found.push((order, report));
        }
    }
}

impl Display for Counted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { begun, runs, by_end, faults, seconds, leaks, lost, untrue, others, .. } = self;
        for (end, count) in by_end {
            write!(f, "{count} {end}, ")?;
        }
        let (hours, took) = (seconds / 3600.0, begun.elapsed().as_secs_f64());
        writeln!(f, "{faults} faults, {hours:.0} hours of the cloud in {took:.0} s")?;
        write!(f, "{runs} runs, {leaks} leaks, {lost} lost results, {untrue} untrue outcomes")?;
        if *others > 0 { write!(f, ", {others} other violations") } else { Ok(()) }
    }
}

/// How many of the runs are shown in which something did not hold.
const SHOWN: usize = 5;

/// The same run with as few faults as still break something.
fn shortest(order: &Order, report: &Report) -> Result<Order> {
    let (mut faults, mut around) = (report.faults.clone(), report.circumstances.clone());
    let with = |faults: &[Fault], around: &[Circumstance]| Order {
        faults: Some(faults.to_vec()),
        circumstances: Some(around.to_vec()),
        with_trace: false,
        ..order.clone()
    };
    let breaks = |faults: &[Fault], around: &[Circumstance]| {
        anyhow::Ok(!elsewhere(&with(faults, around))?.1.violations.is_empty())
    };
    for left in (0..around.len()).rev() {
        let without = around.remove(left);
        if !breaks(&faults, &around)? {
            around.insert(left, without);
        }
    }
    for left in (0..faults.len()).rev() {
        let without = faults.remove(left);
        if !breaks(&faults, &around)? {
            faults.insert(left, without);
        }
    }
    Ok(with(&faults, &around))
}

fn show(order: &Order, report: &Report) {
    match &order.mode {
        Some(mode) => println!("mode {mode}: {}", report.status),
        None => println!("seed {}: {}", order.seed, report.status),
    }
    for violation in &report.violations {
        println!("  {violation}");
    }
    for circumstance in order.circumstances.iter().flatten() {
        println!("  with {circumstance:?}");
    }
    for fault in order.faults.iter().flatten() {
        let Fault { at, what } = fault;
        let call = at.call.map_or(String::new(), |call| format!(", call {call}"));
        println!("  with {what:?} at {}, run {}{call}", at.function, at.visit);
    }
    if let Some(Stop { after, machine, state }) = &order.stop {
        println!("  stopped after {after} ms, in {machine}'s {state}");
    }
    println!("  again: --one '{}'", order.text());
}
