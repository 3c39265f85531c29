//! Conformance: the same EC2, ECS and Elastic Load Balancing conversation with the stand-ins and with moto, a stand-in for
//! AWS that others have made. Status, code, content type and shape of every answer are compared, and those of our own checked against
//! botocore's model of the service. Where the two are to differ, `differences.rs` says so and names AWS's word on it.
//!
//! A new call of a stand-in needs a new row in `ec2`, `ecs` or `elb`, and nothing else.

mod answer; // a signed request, and what comes back
mod compare; // where two answers differ
mod conversation; // rows, and how they are held
mod differences; // the differences that are meant
mod ec2;
mod ecs;
mod elb;
mod model; // what botocore knows of a service
mod sides; // moto and the stand-ins, ready to be asked
mod xml;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::conversation::{Record, Step};

/// The conversation is held once, when the first test needs it.
type Shared = Arc<OnceLock<Result<Record, String>>>;

/// What a test makes of the conversation.
type Verdict = Box<dyn FnOnce(&Record) -> Result<(), Failed> + Send>;

fn main() -> ExitCode {
    let shared = Shared::default();
    let trial = |name: String, verdict: Verdict| {
        let shared = shared.clone();
        Trial::test(name, move || {
            let held =
                shared.get_or_init(|| conversation::hold(&steps()).map_err(|error| format!("{error:#}")));
            verdict(held.as_ref()?)
        })
    };
    let mut trials: Vec<_> = steps()
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let verdict = move |record: &Record| match record.troubles[index].as_str() {
                "" => Ok(()),
                trouble => Err(trouble.into()),
            };
            trial(step.name(), Box::new(verdict))
        })
        .collect();
    trials.push(trial("every call of the stand-ins is in the conversation".into(), Box::new(every_call)));
    trials.push(trial("every difference that is meant still occurs".into(), Box::new(no_stale_excuse)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn steps() -> Vec<Step> {
    [
        ec2::network(),
        ec2::way_out(),
        ecs::until_a_task_runs(),
        ec2::interface(),
        ecs::until_all_is_gone(),
        elb::until_callers_are_let_in(),
        ecs::called::made(),
        elb::a_target(),
        ecs::called::deleted(),
        elb::no_target_any_more(),
        elb::until_all_is_gone(),
        ec2::private_network(),
    ]
    .concat()
}

fn every_call(record: &Record) -> Result<(), Failed> {
    let asked: BTreeSet<_> =
        steps().iter().map(|step| format!("{}:{}", step.service, step.operation)).collect();
    let silent: Vec<_> = record.implemented.difference(&asked).collect();
    if silent.is_empty() { Ok(()) } else { Err(format!("no conversation has {silent:?}").into()) }
}

fn no_stale_excuse(record: &Record) -> Result<(), Failed> {
    if record.stale.is_empty() { Ok(()) } else { Err(record.stale.join("\n").into()) }
}
