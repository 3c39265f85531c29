//! Every name that Step Functions takes is a job's: a person's with dots and umlauts, and an EventBridge rule's, which has
//! 73 characters. Its id is derived, and whoever has only that finds the execution.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use aws_sdk_eventbridge::types::Target;
use libtest_mimic::Trial;
use local_cloud::leftovers::Belonging;
use mayfly_model::names::{is_derived, job_id};
use mayfly_model::outcome::Status;
use serde_json::{Value, json};

use crate::support::cli::mayfly;
use crate::support::documents::command;
use crate::support::harness::Harness;
use crate::support::sweep::{self, names, sweep};
use crate::support::world::{self, STACK, World, job_arn, machine, name_in, until};

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("a_job_of_any_name_runs_and_is_found_by_name_and_id", of_any_name),
        harness.trial_in_turn("a_sweep_leaves_the_running_job_of_a_rule_alone", sweep::turn, of_a_rule),
    ]
}

/// A tag can hold neither `'` nor `(`.
async fn of_any_name(world: Arc<World>, base: String) -> Result<()> {
    let name = format!("{base}-Ü.it's(1)");
    let execution = world.run_job(&name, &command(&["sh", "-c", "echo fine; exit 3"])).await?;
    let (id, outcome) = (job_id(&name), world::outcome(&execution)?);
    assert_eq!((&outcome.job, outcome.end.status()), (&id, Status::Failed));
    assert!(outcome.receipt.created.len() >= 4 && outcome.receipt.residual.is_empty(), "{outcome:#?}");
    assert!(world.item(STACK, &id).await?.is_some(), "the record of {name}");
    world.nothing_left(&id).await?;
    world.torn_down_by_rule(&name).await?;
    for called in [&name, &id] {
        let ran = mayfly(&world, &["follow", called]).await?;
        assert_eq!(ran.code, Some(3), "{called}: {}{}", ran.output, ran.error);
        let ran = mayfly(&world, &["logs", called]).await?;
        assert!(ran.output.lines().any(|line| line == "fine"), "{called}: {}", ran.output);
    }
    Ok(())
}

/// The rule starts a job when another has ended, as one job after the other is chained.
async fn of_a_rule(world: Arc<World>, base: String, _turn: sweep::Turn) -> Result<()> {
    let before = world.executions(&machine("run-job")).await?;
    let rule = Rule::on_the_end_of(&world, &base, &command(&["sleep", "600"])).await?;
    world.run_job(&base, &command(&["true"])).await?;
    let arn = until("the rule's job", async || {
        let all = world.executions(&machine("run-job")).await?;
        let new = all.into_iter().map(|(arn, _)| arn).filter(|arn| !before.iter().any(|(old, _)| old == arn));
        Ok(new.into_iter().find(|arn| name_in(arn).chars().count() == 73))
    })
    .await?;
    rule.remove().await?;
    let (name, id) = (name_in(&arn), job_id(name_in(&arn)));
    ensure!(is_derived(&id) && world.entered(&arn, "DispatchJob").await?, "{name} runs");
    let has = running(&world, &id).await?;

    let swept = sweep(&world).await?;
    for done in ["stopped", "tornDown"] {
        assert!(!names(&swept, done).contains(&&*id), "{swept:#}");
    }
    assert_eq!(belongings(&world, &id).await?, has);
    let listed = mayfly(&world, &["ls", "--json", "--limit", "100"]).await?;
    assert!(listed.output.contains(name), "{}", listed.output);

    let ran = mayfly(&world, &["stop", name, "--yes"]).await?;
    assert_eq!(ran.code, Some(0), "{}{}", ran.output, ran.error);
    world.nothing_left(&id).await
}

/// What the job has once its container, the last thing to appear, is there.
async fn running(world: &World, id: &str) -> Result<Vec<Belonging>> {
    until("a task", async || {
        let has = belongings(world, id).await?;
        let is_whole = has.iter().any(|belonging| belonging.id.contains(":task/"));
        Ok(is_whole.then_some(has))
    })
    .await
}

/// In their order.
async fn belongings(world: &World, id: &str) -> Result<Vec<Belonging>> {
    let mut all = world.belongings().await?;
    all.retain(|belonging| belonging.is_of(id));
    all.sort();
    Ok(all)
}

/// A rule of somebody's own that starts jobs.
struct Rule {
    bus: aws_sdk_eventbridge::Client,
    name: String,
}

impl Rule {
    async fn on_the_end_of(world: &World, job: &str, document: &Value) -> Result<Self> {
        let name = format!("after-{job}");
        let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": { "Service": "events.amazonaws.com" }, "Action": "sts:AssumeRole" }] });
        let role = world.iam.create_role().role_name(&name).assume_role_policy_document(trust.to_string());
        let role = role.send().await?.role.context("a role")?.arn;
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Action": "states:StartExecution", "Resource": machine("run-job") }] });
        let policy = world.iam.put_role_policy().role_name(&name).policy_document(policy.to_string());
        policy.policy_name("StartJobs").send().await?;

        let bus = aws_sdk_eventbridge::Client::new(&world.cloud().sdk_config());
        let pattern = json!({ "source": ["aws.states"], "detail": { "status": ["SUCCEEDED"],
            "executionArn": [job_arn(job)] } });
        bus.put_rule().name(&name).event_pattern(pattern.to_string()).send().await?;
        let target = Target::builder().id("run-job").arn(machine("run-job")).role_arn(role);
        let target = target.input(document.to_string()).build()?;
        bus.put_targets().rule(&name).targets(target).send().await?;
        Ok(Self { bus, name })
    }

    async fn remove(self) -> Result<()> {
        self.bus.remove_targets().rule(&self.name).ids("run-job").send().await?;
        self.bus.delete_rule().name(self.name).send().await?;
        Ok(())
    }
}
