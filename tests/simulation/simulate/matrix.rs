//! Every fault of every call and every run of a clean job, and its stop in the middle of every state. Up to its fault each of
//! these jobs is the clean one, so one process plays that, and wherever something can go wrong the others branch off from it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use mayfly_simulation::circumstance::Circumstance;
use mayfly_simulation::faults::{Ask, Fault, Faults, Made, Place, What};
use mayfly_simulation::run::{Report, play};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Counted, Order, SIDE_BY_SIDE, all, clean_run, elsewhere, judge, lock, randomness, runtime, shown,
    side_by_side, stopped_in,
};

/// When the sweep of a matrix begins, in seconds after the job.
const SWEPT: u64 = 60;

/// Which function does that.
const SWEEPER: &str = "sweep-expired";

/// One of so many that have branched off is played from its start as well, and has to come to the same.
const COMPARED: usize = 100;

/// A run from which others branch off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trunk {
    /// Without a fault.
    order: Order,
    /// At what the first run of this function does, or wherever something can go wrong.
    within: Option<String>,
    /// At every place of so many as there are trunks beside each other: at which of them.
    turn: usize,
}

/// Runs the whole matrix of `mode`, and shows what does not hold. Gives whether there was something.
pub fn run(mode: &str) -> Result<bool> {
    let plain = Order { mode: Some(mode.to_owned()), ..Order::default() };
    let swept = around(&plain, Circumstance::Sweep(SWEPT));
    let (of_plain, of_swept) = (clean_run(&plain)?, clean_run(&swept)?);
    let mut alone = others(&plain, &of_plain);
    let faults = [faults(&plain, of_plain, None)?, faults(&swept, of_swept, Some(SWEEPER))?];
    let counted = Mutex::new(Counted::of(alone.len() + faults.iter().map(Vec::len).sum::<usize>()));
    for (order, within, faults) in [(plain, None, &faults[0]), (swept, Some(SWEEPER.to_owned()), &faults[1])]
    {
        let open: BTreeMap<_, _> = faults.iter().map(|order| (order.text(), order.clone())).collect();
        let open = Mutex::new(open);
        side_by_side(|turn| {
            branch(&Trunk { order: order.clone(), within: within.clone(), turn }, &open, &counted)
        })?;
        // A run that has panicked tells why when it is played from its start.
        alone.extend(open.into_inner().expect("no thread has panicked").into_values());
    }
    all(&std::env::current_exe()?, &alone, &counted, false)?;
    shown(counted)
}

/// Plays `trunk` in a process of its own, counts the runs that branch off, and takes each from those that are `open`.
fn branch(trunk: &Trunk, open: &Mutex<BTreeMap<String, Order>>, counted: &Mutex<Counted>) -> Result<()> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(["--trunk", &serde_json::to_string(trunk)?])
        .stdout(Stdio::piped())
        .spawn()
        .context("the program could not be started")?;
    let told = BufReader::new(process.stdout.take().context("it is piped")?);
    for (number, line) in told.lines().enumerate() {
        let (order, mut report): (Order, Report) = serde_json::from_str(&line?)?;
        let is_new = open.lock().expect("no thread panics with it").remove(&order.text()).is_some();
        ensure!(is_new, "{} was not to branch off", order.text());
        judge(&order, &mut report);
        if number.is_multiple_of(COMPARED) {
            let (_, from_start) = elsewhere(&order)?;
            if json!(from_start) != json!(report) {
                report.violations.push("it came to something else than the same run from its start".into());
            }
        }
        lock(counted).add(order, report);
    }
    ensure!(process.wait()?.success(), "the run from which others branch off did not end well");
    Ok(())
}

/// Plays this in this process, and in copies of it what branches off, each of which says what it came to.
pub fn play_trunk(trunk: Trunk) -> Result<ExitCode> {
    randomness::seed(trunk.order.seed);
    let mut scenario = trunk.order.clone().scenario();
    let branches = Arc::new(Branches { trunk, state: Mutex::default() });
    scenario.faults = Faults::asked(branches.clone());
    let mut report = runtime()?.block_on(play(scenario, false))?;
    let state = branches.state.lock().expect("no thread panics with it");
    if let Some(fault) = &state.branch {
        report.made.clear();
        let order = Order { faults: Some(vec![fault.clone()]), ..branches.trunk.order.clone() };
        println!("{}", json!([order, report]));
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets runs branch off.
#[derive(Debug)]
struct Branches {
    trunk: Trunk,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: usize,
    /// In a run that has branched off, at what.
    branch: Option<Fault>,
}

impl Ask for Branches {
    fn ask(&self, at: &Place) -> Option<What> {
        let Trunk { within, turn, .. } = &self.trunk;
        let mut state = self.state.lock().expect("no thread panics with it");
        let is_here = within.as_ref().is_none_or(|function| *function == at.function && at.visit == 0);
        if state.branch.is_some() || !is_here {
            return None;
        }
        state.places += 1;
        if state.places % SIDE_BY_SIDE != *turn {
            return None;
        }
        let what = What::at(at).iter().copied().find(|_| is_copy())?;
        state.branch = Some(Fault { at: at.clone(), what });
        Some(what)
    }
}

/// Copies this process and gives true in the copy; where it was copied from it gives false, when the copy has ended.
#[allow(unsafe_code, reason = "nothing else continues a run twice from where it stands")]
fn is_copy() -> bool {
    // SAFETY: this process has one thread, so that none is missing in the copy, nor a lock held by one.
    match unsafe { fork() }.expect("a process can be copied") {
        ForkResult::Child => true,
        ForkResult::Parent { child } => {
            waitpid(child, None).expect("it is waited for once");
            false
        }
    }
}

/// Every fault of every call and run that the `clean` run of `order` makes, or the first run of one function in it.
fn faults(order: &Order, clean: Report, within: Option<&str>) -> Result<Vec<Order>> {
    let is_here = |at: &Place| within.is_none_or(|function| function == at.function && at.visit == 0);
    let places = clean.made.into_iter().map(|Made { at, .. }| at).filter(is_here);
    let faults =
        places.flat_map(|at| What::at(&at).iter().map(move |what| Fault { at: at.clone(), what: *what }));
    let orders: Vec<_> = faults.map(|fault| Order { faults: Some(vec![fault]), ..order.clone() }).collect();
    ensure!(!orders.is_empty(), "a clean run makes no call");
    Ok(orders)
}

/// What can happen around a run of `order`, and its stop in the middle of every state of the `clean` one.
fn others(order: &Order, clean: &Report) -> Vec<Order> {
    let around = Circumstance::all().into_iter().map(|one| around(order, one));
    around.chain(clean.states.iter().filter_map(|visit| stopped_in(visit, order))).collect()
}

fn around(order: &Order, circumstance: Circumstance) -> Order {
    Order { circumstances: Some(vec![circumstance]), ..order.clone() }
}
