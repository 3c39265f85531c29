//! Whether the simulation can fail: brings mistakes back into the product, one after another, each in a copy of the tree, and
//! runs jobs until it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use local_ecs::{Fault as OfTask, Rule};
use mayfly_simulation::circumstance::Circumstance;
use mayfly_simulation::draw::MODES;
use mayfly_simulation::faults::{Fault, Place, What};
use serde_json::Value;

use crate::{Counted, Found, Order, all, elsewhere, seeds, show, trials};

/// How many runs it may take to find a mistake.
const MOST_RUNS: usize = 2000;

/// How many single faults are tried for each of everything else: most mistakes are found by one, and they are the most.
const SINGLE: usize = 4;

/// The mistakes: what each brings back, in words, and the change to the product.
const PATCHES: &str = "tests/simulation/mutants";

/// So much of what was found is in the table, in characters.
const TOLD: usize = 100;

/// Finds the mistakes of these names, or all.
pub fn find_all(names: &[String]) -> Result<ExitCode> {
    let begun = Instant::now();
    can_be_made()?;
    let workshop = Workshop::new()?;
    let orders = orders()?;
    let (mut slowest, mut survivors) = (0, 0);
    let mutants = mutants(names)?;
    println!("{:<45}{:>5}{:>7}  found", "mistake", "runs", "time");
    for (name, patch) in &mutants {
        let begun = Instant::now();
        let program = workshop.build(Some(patch)).with_context(|| name.clone())?;
        let found = first(&program, &orders)?;
        survivors += usize::from(found.is_none());
        let runs = found.as_ref().map_or(orders.len(), |(runs, _)| *runs);
        slowest = slowest.max(runs);
        let told = found.map_or("nothing: it survives".to_owned(), |(_, (_, report))| {
            report.violations[0].chars().map(|c| if c == '\n' { ' ' } else { c }).take(TOLD).collect()
        });
        println!("{name:<45}{runs:>5}{:>5} s  {told}", begun.elapsed().as_secs());
    }
    let product = first(&workshop.build(None)?, &orders[..slowest])?;
    if let Some((_, (order, report))) = &product {
        show(order, report);
    }
    let (count, minutes) = (mutants.len(), begun.elapsed().as_secs_f64() / 60.0);
    println!("{count} mistakes, {survivors} not found, in {minutes:.0} minutes");
    let passes = if product.is_none() { "passes" } else { "does not pass" };
    println!(
        "the product as it is {passes} the {slowest} runs: each mode without a fault, a fault in each function, every circumstance, behaviours, and seeds from 1 on"
    );
    Ok(if survivors == 0 && product.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every mode without a fault, jobs that fail while functions are at making something, then in turn single faults,
/// [`SINGLE`] at a time, a circumstance, a behaviour and a seed.
fn orders() -> Result<Vec<Order>> {
    let clean = MODES.map(|mode| Order { mode: Some(mode.to_owned()), ..Order::default() });
    // In this one what ends well has no part: what the conclusion looks for, and what is made of a failure.
    let denied = Rule::always(OfTask::PullDenied);
    let failing = Order { circumstances: Some(vec![Circumstance::Tasks(denied)]), ..clean[0].clone() };
    let mut orders = clean.to_vec();
    let (mut single, mut met) = (Vec::new(), BTreeSet::new());
    for job in clean.into_iter().chain([failing]) {
        let with = |faults| Order { faults: Some(faults), ..job.clone() };
        let last = last_calls(&job)?;
        orders.push(with(while_under_way(&last)));
        let new =
            last.into_iter().filter(|at| met.insert((at.function.clone(), at.visit, at.call.is_some())));
        single.extend(new.map(|at| (at.visit, with(vec![alone(at)]))));
    }
    // Most is met by the first run of a function.
    single.sort_by_key(|(visit, _)| *visit);
    let around =
        |one| Order { mode: Some(OF_ITS_OWN.to_owned()), circumstances: Some(vec![one]), ..Order::default() };
    let mut around = Circumstance::all().into_iter().map(around);
    let names = trials::behaviours().into_iter().map(|behaviour| Some(behaviour.name().to_owned()));
    let mut behaviours = names.map(|behaviour| Order { behaviour, ..Order::default() });
    let mut single = single.into_iter().map(|(_, order)| order);
    for seed in seeds(1, MOST_RUNS as u64) {
        orders.extend(single.by_ref().take(SINGLE).chain(around.next()).chain(behaviours.next()));
        orders.push(seed);
    }
    orders.truncate(MOST_RUNS);
    Ok(orders)
}

/// Every run of a function that this job comes to, and the last call of each.
fn last_calls(job: &Order) -> Result<Vec<Place>> {
    let (_, report) = elsewhere(&Order { with_made: true, ..job.clone() })?;
    let made = report.made.into_iter().map(|made| made.at);
    let last: BTreeMap<_, _> =
        made.map(|at| ((at.function.clone(), at.visit, at.call.is_some()), at)).collect();
    Ok(last.into_values().collect())
}

/// The mode in which the circumstances are tried: it makes all that an account has little of.
const OF_ITS_OWN: &str = "nat";

/// What a run answers is lost, so that all is done once more; a call is refused.
fn alone(at: Place) -> Fault {
    let what = if at.call.is_some() { What::Denied } else { What::Unanswered };
    Fault { at, what }
}

/// Whose call is refused while others are under way: it runs beside all that makes a network.
const REFUSED: &str = "register-task";

/// How long those take then, in seconds: the functions' time is over before, and what they have asked for comes.
const UNDER_WAY: u64 = 25;

/// The job fails while functions are at making something.
fn while_under_way(calls: &[Place]) -> Vec<Fault> {
    let first = calls.iter().filter(|at| at.visit == 0 && at.call.is_some());
    let what = |at: &Place| if at.function == REFUSED { What::Denied } else { What::Slow(UNDER_WAY) };
    first.map(|at| Fault { at: at.clone(), what: what(at) }).collect()
}

/// The first run in which something does not hold, and how many there were up to it.
fn first(program: &Path, orders: &[Order]) -> Result<Option<(usize, Found)>> {
    let counted = Mutex::new(Counted::of(orders.len()));
    all(program, orders, &counted, true)?;
    let found = counted.into_inner().expect("no thread has panicked").found;
    let place = |(order, _): &Found| orders.iter().position(|one| one == order).unwrap_or_default();
    Ok(found.into_iter().map(|found| (place(&found) + 1, found)).min_by_key(|(runs, _)| *runs))
}

fn project() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

/// The names and the files of the mistakes, or of those of these names.
fn mutants(names: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(project()?.join(PATCHES))? {
        let patch = entry?.path();
        let name = patch.file_stem().and_then(|name| name.to_str()).context("a name in UTF-8")?.to_owned();
        if names.is_empty() || names.contains(&name) {
            mutants.push((name, patch));
        }
    }
    ensure!(!mutants.is_empty(), "{PATCHES} has none of {names:?}");
    mutants.sort();
    Ok(mutants)
}

/// Every mistake can be made in the tree as it is.
pub fn can_be_made() -> Result<()> {
    for (_, patch) in mutants(&[])? {
        told(Command::new("git").current_dir(project()?).args(["apply", "--check"]).arg(patch))?;
    }
    Ok(())
}

/// A copy of the tree, with a target folder of its own, so that nothing of a mistake is ever in the developer's.
struct Workshop {
    project: PathBuf,
    folder: PathBuf,
    git: PathBuf,
    /// The developer's tree as Git has stored it.
    tree: String,
}

impl Workshop {
    fn new() -> Result<Self> {
        let project = project()?;
        let targets = std::env::var_os("CARGO_TARGET_DIR").map_or(project.join("target"), PathBuf::from);
        let folder = targets.join("mutants");
        fs::create_dir_all(folder.join("tree"))?;
        let git = told(Command::new("git").current_dir(&project).args(["rev-parse", "--absolute-git-dir"]))?;
        let mut workshop = Self { project, folder, git: git.into(), tree: String::new() };
        workshop.git("stored", &workshop.project, &["add", "--all"])?;
        workshop.tree = workshop.git("stored", &workshop.project, &["write-tree"])?;
        workshop.borrow_from(&targets.join("simulation"))?;
        Ok(workshop)
    }

    /// What has been compiled of others' crates is good for the copy too. The members are compiled anew: Cargo tells their
    /// sources apart by time and not by folder.
    fn borrow_from(&self, compiled: &Path) -> Result<()> {
        let own = self.folder.join("target/simulation");
        if own.exists() {
            return Ok(());
        }
        fs::create_dir_all(&own)?;
        let mut copy = Command::new("cp");
        told(copy.arg("--archive").arg(compiled.join("build")).arg(compiled.join(".fingerprint")).arg(&own))?;
        told(Command::new("cp").args(["--archive", "--link"]).arg(compiled.join("deps")).arg(&own))?;
        self.git("copied", &self.folder.join("tree"), &["read-tree", "--reset", "-u", &self.tree])?;
        told(self.cargo("clean").args(["--workspace", "--profile", "simulation"])).map(drop)
    }

    /// The program that simulates the product with the mistake in it, or as it is.
    fn build(&self, patch: Option<&Path>) -> Result<PathBuf> {
        let tree = self.folder.join("tree");
        // Takes the last mistake back; a file that is written anew is one that Cargo compiles.
        self.git("copied", &tree, &["read-tree", "--reset", "-u", &self.tree])?;
        if let Some(patch) = patch {
            self.git("copied", &tree, &["apply", patch.to_str().context("a path in UTF-8")?])?;
        }
        let mut build = self.cargo("test");
        build.args(["--profile", "simulation", "--workspace", "--test", "simulate", "--no-run", "--quiet"]);
        // The simulation itself is compiled anew with any function; what else a run is made of is not.
        build.args(["--config", "profile.simulation.package.mayfly-simulation.opt-level=0"]);
        let messages = told(build.arg("--message-format=json-render-diagnostics"))?;
        let program = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let is_it = message["target"]["name"] == "simulate";
            message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
        });
        program.context("Cargo has built no program")
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.arg(command).current_dir(self.folder.join("tree"));
        cargo.env("CARGO_TARGET_DIR", self.folder.join("target"));
        // Half of the time goes into builds: of the functions only what has changed is compiled, and nothing made faster.
        cargo.env("CARGO_INCREMENTAL", "1").env("CARGO_PROFILE_SIMULATION_OPT_LEVEL", "0");
        // What a mistake leaves out may leave an import unused.
        cargo.env_remove("MAYFLY_WARNINGS");
        cargo
    }

    /// What Git says of the files in `tree`, with an index of this name, which is none of the developer's.
    fn git(&self, index: &str, tree: &Path, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(tree).env("GIT_DIR", &self.git).env("GIT_WORK_TREE", tree);
        told(git.env("GIT_INDEX_FILE", self.folder.join(index)))
    }
}

/// What a command has said that has to end well.
fn told(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}: {}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?.trim().to_owned())
}
