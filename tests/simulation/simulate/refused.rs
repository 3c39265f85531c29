//! What cannot run is refused before anything is created, in words that name the field, what was given and what is
//! allowed.

use anyhow::{Context as _, Result};
use local_states::execution::Status;
use mayfly_model::class::Class;
use mayfly_model::inventory::Receipt;
use mayfly_model::names::{job_id, new_job_id};
use serde_json::{Value, json};

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::history::{history, states_entered};
use crate::support::world::{World, scene};

pub fn behaviours() -> Vec<Behaviour> {
    vec![
        behaviour("a_document_that_cannot_run_is_refused_in_words", documents),
        behaviour("a_name_that_looks_like_a_derived_id_is_refused", names),
    ]
}

/// Each goes through the machine.
async fn documents() -> Result<()> {
    let mut world = scene().begin().await?;
    let kinds = [whole_documents()?, networks(), containers(), commands(), files(), limits_and_tags()];
    for (n, (document, message)) in kinds.iter().flatten().enumerate() {
        refused(&mut world, &format!("refused-{n}"), document, message).await?;
    }
    world.nothing_left().await
}

async fn refused(world: &mut World, job: &str, document: &Value, message: &str) -> Result<()> {
    let (calls, creations) = (calls(world), world.run.account.witness.seen().creations.len());
    let execution = world.start(job, document).await?;
    let outcome = world.outcome(&execution).await?;
    let given: String = document.to_string().chars().take(200).collect();
    let (ending, _) = execution.ending().context("it has ended")?;
    assert_eq!((ending.status, ending.error.as_deref()), (Status::Failed, Some("InvalidJob")), "{given}");
    let failure = outcome.end.failure().context("a failure has a reason")?;
    assert_eq!((failure.error, failure.message.as_str()), (Class::InvalidJob, message), "{given}");
    assert_eq!(outcome.receipt, Receipt::default(), "{given}");
    let events = history(&execution);
    let entered: Vec<_> = states_entered(&events).collect();
    assert_eq!(entered, ["AcceptJob", "PlanJob", "ConcludeJob", "DecideStatus", "JobFailed"], "{given}");
    // The teardown that a rule starts may be looking already.
    let looks = |action: &str| {
        let (service, action) = action.split_once(':').unwrap_or_default();
        ["states", "sts"].contains(&service)
            || ["BatchGet", "Describe", "Get", "List"].iter().any(|look| action.starts_with(look))
    };
    let mut changes = world.run.account.calls.snapshot().split_off(calls);
    // What its condition refuses has changed nothing: of this job there is no record.
    changes.retain(|call| !looks(&call.action) && call.outcome != "ConditionalCheckFailedException");
    assert!(changes.is_empty(), "{given}: {changes:#?}");
    assert_eq!(world.run.account.witness.seen().creations.len(), creations, "{given}");
    Ok(())
}

fn calls(world: &World) -> usize {
    world.run.account.calls.snapshot().len()
}

async fn names() -> Result<()> {
    let mut world = scene().begin().await?;
    let document = command(&["true"]);
    for name in ["a b", "a/b", "a*", "", &"n".repeat(81)] {
        let refused = world.start(name, &document).await.expect_err("Step Functions refuses the name");
        assert!(refused.to_string().starts_with("InvalidName"), "{name:?}: {refused}");
    }
    // Step Functions takes this, and all the others that `names.rs` has; Mayfly does not.
    let name = job_id("refused.dot");
    let message = new_job_id(&name).expect_err("it looks like a derived id");
    refused(&mut world, &name, &document, &message).await?;
    world.nothing_left().await
}

/// A document and what is said of it.
type Row = (Value, String);
type Table = Vec<Row>;

fn row(document: Value, message: impl Into<String>) -> Row {
    (document, message.into())
}

/// A valid job with one more field.
fn job_with(field: &str, value: Value) -> Value {
    let mut document = command(&["true"]);
    document[field] = value;
    document
}

fn container(value: Value) -> Value {
    job_with("container", value)
}

fn task_with(field: &str, value: Value) -> Value {
    let mut document = command(&["true"]);
    document["task"][field] = value;
    document
}

fn input(file: &str, from: &str) -> Value {
    task_with("inputs", json!([{ "file": file, "from": from }]))
}

fn output(file: &str, to: &str) -> Value {
    task_with("outputs", json!([{ "file": file, "to": to }]))
}

fn whole_documents() -> Result<Table> {
    let nothing_to_run = "task.command: missing, and what an image runs by itself is known of those in the account's own \
                          registry alone; say a program and its arguments";
    let object = "the job document must be a JSON object such as {\"task\": {\"command\": [\"true\"]}}";
    let fields =
        "network, container, capacity, task, service, timeoutMinutes, attempts, queueMinutes, user, tags";
    Ok(vec![
        row(
            serde_json::from_str(include_str!("../../../events/run-job.invalid.json"))?,
            "container.cpu: given 1000; allowed: one of 256, 512, 1024, 2048, 4096, 8192, 16384, 32768",
        ),
        row(json!([]), object),
        row(json!("true"), object),
        row(
            json!({}),
            "task: missing; a job has a task, which ends by itself, or a service, which is called",
        ),
        row(json!({ "task": {}, "container": { "image": "alpine" } }), nothing_to_run),
        row(json!({ "task": { "command": [] }, "container": { "image": "alpine" } }), nothing_to_run),
        row(json!({ "task": [[], ["true"], []] }), "task: given a list; allowed: an object"),
        row(job_with("retries", json!(2)), format!("retries: there is no such field; allowed: {fields}")),
        row(
            command(&["echo", &"x".repeat(33_000)]),
            "the job document is 33032 bytes long; at most 32768 are allowed; put long lists into an input file",
        ),
        row(
            job_with("capacity", json!("reserved")),
            "capacity: given reserved; allowed: spot, on-demand, spot-then-on-demand",
        ),
        row(job_with("capacity", json!(1)), "capacity: given 1; allowed: a text"),
    ])
}

fn networks() -> Table {
    let network = |network: Value| job_with("network", network);
    let existing = |subnets: Value, groups: Value| {
        network(json!({ "mode": "existing", "subnets": subnets, "securityGroups": groups }))
    };
    let (subnet, group) = ("subnet-0a1b2c3d4e5f60718", "sg-0a1b2c3d4e5f60718");
    let (subnets, groups) = ("1 to 16 ids that begin with subnet-", "1 to 5 ids that begin with sg-");
    vec![
        row(network(json!("public")), "network: given \"public\"; allowed: an object"),
        row(network(json!({})), "network.mode: missing; it is required"),
        row(
            network(json!({ "mode": "isolated" })),
            "network.mode: given isolated; allowed: public, existing, private",
        ),
        row(
            network(json!({ "mode": "public", "vpc": "vpc-1" })),
            "network.vpc: there is no such field; \
             allowed: mode, subnets, securityGroups, assignPublicIp, egress, egressPorts",
        ),
        row(
            network(json!({ "mode": "public", "assignPublicIp": false })),
            "network.assignPublicIp: given with another mode; allowed: only with the mode existing",
        ),
        row(
            network(json!({ "mode": "existing", "egressPorts": [443] })),
            "network.egressPorts: given with another mode; allowed: only with the mode private",
        ),
        row(
            network(json!({ "mode": "private", "subnets": [subnet] })),
            "network.subnets: given with another mode; allowed: only with the mode existing",
        ),
        row(
            network(json!({ "mode": "private", "egress": "none" })),
            "network.egress: given none; allowed: nat, endpoints, ipv6",
        ),
        row(
            network(json!({ "mode": "private", "egressPorts": [70_000] })),
            "network.egressPorts[0]: given 70000; allowed: a whole number in digits alone, 1 to 65535",
        ),
        row(
            network(json!({ "mode": "private", "egressPorts": [443, 443] })),
            "network.egressPorts[1]: given 443; allowed: a TCP port from 1 to 65535 that is given only once",
        ),
        row(
            network(json!({ "mode": "private", "egressPorts": [80, 22] })),
            "network.egressPorts: given 80, 22; allowed: a list with 443, by which the container reports",
        ),
        row(
            network(json!({ "mode": "private", "egressPorts": (400..=443).collect::<Vec<_>>() })),
            "network.egressPorts: given 44 ports; allowed: at most 20 ports",
        ),
        row(
            network(json!({ "mode": "existing", "securityGroups": [group] })),
            format!("network.subnets: given 0 ids; allowed: {subnets}"),
        ),
        row(existing(json!([]), json!([group])), format!("network.subnets: given 0 ids; allowed: {subnets}")),
        row(
            existing(json!([subnet]), json!([])),
            format!("network.securityGroups: given 0 ids; allowed: {groups}"),
        ),
        row(
            existing(json!([subnet]), json!(["sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6"])),
            format!("network.securityGroups: given 6 ids; allowed: {groups}"),
        ),
        row(
            existing(json!(["vpc-0a1b2c3d"]), json!([group])),
            format!("network.subnets[0]: given vpc-0a1b2c3d; allowed: an id such as {subnet}"),
        ),
        row(
            existing(json!(["subnet-*"]), json!([group])),
            format!("network.subnets[0]: given subnet-*; allowed: an id such as {subnet}"),
        ),
        row(
            existing(json!([subnet, subnet]), json!([group])),
            format!("network.subnets[1]: given {subnet}; allowed: an id that is given only once"),
        ),
        row(
            existing(json!([subnet]), json!([group])),
            format!(
                "network.subnets: given {subnet}; allowed: a subnet that exists in this account and Region"
            ),
        ),
    ]
}

fn containers() -> Table {
    let image = "an image reference such as public.ecr.aws/docker/library/busybox:1";
    let name = "a name of letters, digits and _ that does not begin with a digit";
    let storage = "a whole number in digits alone, 20 to 200";
    let sizes = "one of 256, 512, 1024, 2048, 4096, 8192, 16384, 32768";
    vec![
        row(
            container(json!({ "memory": 2048 })),
            "container.memory: there is no such field; \
             allowed: image, cpu, memoryMiB, storageGiB, environment, secrets, architecture, user, workingDirectory, \
             readOnly, stopTimeout, ulimits, repositoryCredentials",
        ),
        row(container(json!({ "cpu": "1024" })), format!("container.cpu: given \"1024\"; allowed: {sizes}")),
        row(container(json!({ "cpu": 1.5 })), format!("container.cpu: given 1.5; allowed: {sizes}")),
        row(
            container(json!({ "memoryMiB": -1 })),
            "container.memoryMiB: given -1; allowed: a whole number in digits alone, 512 to 249856",
        ),
        row(
            container(json!({ "cpu": 256, "memoryMiB": 4096 })),
            "container.memoryMiB: given 4096; \
             allowed: 512, or 1024 to 2048 in steps of 1024, for container.cpu 256",
        ),
        row(
            container(json!({ "memoryMiB": 2500 })),
            "container.memoryMiB: given 2500; allowed: 2048 to 8192 in steps of 1024, for container.cpu 1024",
        ),
        row(
            container(json!({ "cpu": 8192 })),
            "container.memoryMiB: given 2048; allowed: 16384 to 61440 in steps of 4096, for container.cpu 8192",
        ),
        row(
            container(json!({ "cpu": 32768, "memoryMiB": 245_760 })),
            "container.memoryMiB: given 245760; \
             allowed: one of 61440, 122880, 249856, for container.cpu 32768",
        ),
        row(
            container(json!({ "storageGiB": 19 })),
            format!("container.storageGiB: given 19; allowed: {storage}"),
        ),
        row(
            container(json!({ "storageGiB": 201 })),
            format!("container.storageGiB: given 201; allowed: {storage}"),
        ),
        row(
            container(json!({ "image": "" })),
            format!("container.image: given an empty text; allowed: {image}"),
        ),
        row(
            container(json!({ "image": "busy box" })),
            format!("container.image: given busy box; allowed: {image}"),
        ),
        row(
            container(json!({ "image": "https://example.com/tool" })),
            format!("container.image: given https://example.com/tool; allowed: {image}"),
        ),
        row(
            container(json!({ "environment": { "1ST": "x" } })),
            format!("container.environment.1ST: given 1ST; allowed: {name}"),
        ),
        row(
            container(json!({ "environment": { "WITH-DASH": "x" } })),
            format!("container.environment.WITH-DASH: given WITH-DASH; allowed: {name}"),
        ),
        row(
            container(json!({ "environment": { "AWS_REGION": "x" } })),
            "container.environment.AWS_REGION: given AWS_REGION; \
             allowed: a name that does not begin with AWS_, ECS_ or MAYFLY_, which are the container's own",
        ),
        row(
            container(json!({ "environment": { "DEBUG": 1 } })),
            "container.environment.DEBUG: given a number; allowed: a text",
        ),
        row(
            container(json!({ "environment": { "DEBUG": "\0" } })),
            "container.environment.DEBUG: given a text with NUL, U+FFFE or U+FFFF; allowed: text without them",
        ),
        row(
            container(json!({ "secrets": { "PASSWORD": "hunter2" } })),
            "container.secrets.PASSWORD: given something that is no ARN of a secret; \
             allowed: the ARN of a Secrets Manager secret or a Parameter Store parameter",
        ),
        row(
            container(json!({
                "environment": { "KEY": "x" },
                "secrets": { "KEY": "arn:aws:ssm:eu-central-1:123456789012:parameter/key" }
            })),
            "container.secrets.KEY: given KEY; allowed: a name that container.environment does not have",
        ),
    ]
}

fn commands() -> Table {
    vec![
        row(command(&[""]), "task.command[0]: given an empty text; allowed: a program"),
        row(
            command(&["echo", "a\0b"]),
            "task.command[1]: given a text with NUL, U+FFFE or U+FFFF; allowed: text without them",
        ),
        row(json!({ "task": { "command": "ls -l" } }), "task.command: given \"ls -l\"; allowed: a list"),
        row(json!({ "task": { "command": ["ls", 1] } }), "task.command[1]: given 1; allowed: a text"),
        row(
            task_with("cwd", json!("/tmp")),
            "task.cwd: there is no such field; allowed: inputs, command, outputs, outputList",
        ),
    ]
}

#[allow(clippy::too_many_lines, reason = "a row for each document")]
fn files() -> Table {
    let inside = "a name inside the working directory: relative, no URL, without .. and without \\";
    let source = "s3://BUCKET/KEY or an https URL on port 443 without a user name";
    let bucket = "a bucket of this stack (mayfly-data); add it to the stack's parameter DataBuckets";
    let object = "s3://mayfly-data/key";
    let mut table = vec![
        row(task_with("inputs", json!({})), "task.inputs: given an object; allowed: a list"),
        row(task_with("inputs", json!([{ "file": "a" }])), "task.inputs[0].from: missing; it is required"),
        row(task_with("inputs", json!([["a", object]])), "task.inputs[0]: given a list; allowed: an object"),
        row(
            task_with("outputs", json!([{ "file": "a", "to": object, "acl": "public" }])),
            "task.outputs[0].acl: there is no such field; allowed: file, to, optional, contentType, cacheControl, storageClass, kmsKey, metadata",
        ),
        row(
            task_with("inputs", json!([{ "file": "a", "from": object }, { "file": "a", "from": object }])),
            "task.inputs[1].file: given a; allowed: a name that is given only once",
        ),
        row(
            task_with("outputs", json!([{ "file": "a", "to": object }, { "file": "b", "to": object }])),
            format!("task.outputs[1].to: given {object}; allowed: a place that no other output has"),
        ),
        row(
            task_with("inputs", (0..101).map(|n| json!({ "file": n.to_string(), "from": object })).collect()),
            "task: given 101 files; allowed: at most 100, inputs and outputs together; put more into a folder",
        ),
        row(
            input("a", "https://alice:secret@example.com/a?sig=secret"),
            format!("task.inputs[0].from: given https://***@example.com/a?***; allowed: {source}"),
        ),
        row(
            output("a", "https://example.com/a"),
            "task.outputs[0].to: given https://example.com/a; allowed: s3://BUCKET/KEY",
        ),
        row(
            input("a", "https:/acct.blob.core.windows.net/c/out.mp4?sig=TOPSECRET%3D"),
            format!(
                "task.inputs[0].from: given https:/acct.blob.core.windows.net/c/out.mp4?***; allowed: {source}"
            ),
        ),
        row(
            input("a", "http//x?sig=TOPSECRET"),
            format!("task.inputs[0].from: given http//x?***; allowed: {source}"),
        ),
        row(
            task_with(
                "inputs",
                json!([{ "file": "ref", "from": object }, { "file": "ref/genome.fa", "from": object }]),
            ),
            "task.inputs[1].file: given ref/genome.fa; \
             allowed: a name outside of ref, which is a file: task.inputs[0].file",
        ),
        row(
            output("seg_*.ts", object),
            format!(
                "task.outputs[0].to: given {object}; allowed: a prefix that ends with /, since file names a folder"
            ),
        ),
        row(
            output("seg_[12].ts", "s3://mayfly-data/hls/"),
            "task.outputs[0].file: given seg_[12].ts; allowed: a name without ? and [; \
             in a pattern * stands for any characters but /, and ** alone between slashes for any folders",
        ),
        row(
            input("frames/", "s3://mayfly-data/"),
            "task.inputs[0].from: given s3://mayfly-data/; allowed: s3://BUCKET/PREFIX/, since file names a folder",
        ),
        row(
            output("hls", "s3://mayfly-data/hls/"),
            "task.outputs[0].to: given s3://mayfly-data/hls/; \
             allowed: the key of one object, which does not end with /; file then names a folder, which does",
        ),
        row(output("../a", object), format!("task.outputs[0].file: given ../a; allowed: {inside}")),
        row(
            output("a", "s3://elsewhere/a"),
            format!("task.outputs[0].to: given s3://elsewhere/a; allowed: {bucket}"),
        ),
        row(
            output("a", "s3://mayfly-data/${filename}"),
            "task.outputs[0].to: given s3://mayfly-data/${filename}; \
             allowed: a key without ${filename}, which S3 would replace by the uploaded file's name",
        ),
        row(
            input("a", "s3://mayfly-data/a/../b"),
            "task.inputs[0].from: given s3://mayfly-data/a/../b; allowed: a key without the parts . and ..",
        ),
        row(
            input("a", "s3://elsewhere/a"),
            format!("task.inputs[0].from: given s3://elsewhere/a; allowed: {bucket}"),
        ),
        row(
            input("a", "s3://mayfly-data"),
            "task.inputs[0].from: given s3://mayfly-data; allowed: s3://BUCKET/KEY",
        ),
    ];
    table.extend(["a/../b", "/etc/passwd", "a\\b", "a//b", "."].map(|file| {
        row(input(file, object), format!("task.inputs[0].file: given {file}; allowed: {inside}"))
    }));
    let urls = ["http://example.com/a", "https://example.com:8443/a", "ftp://example.com/a", "in.mp4"];
    table.extend(
        urls.map(|url| row(input("a", url), format!("task.inputs[0].from: given {url}; allowed: {source}"))),
    );
    table
}

fn limits_and_tags() -> Table {
    let whole = "a whole number in digits alone";
    let text = "up to 256 letters, digits, spaces and _ . : / = + - @, no combining marks, and no aws: at the beginning";
    let tags: serde_json::Map<_, _> = (0..41).map(|n| (format!("tag-{n}"), json!("x"))).collect();
    let mut table = vec![
        row(
            job_with("timeoutMinutes", json!(0)),
            format!("timeoutMinutes: given 0; allowed: {whole}, 1 to 10080"),
        ),
        row(
            job_with("timeoutMinutes", json!(10_081)),
            format!("timeoutMinutes: given 10081; allowed: {whole}, 1 to 10080"),
        ),
        row(job_with("attempts", json!(0)), format!("attempts: given 0; allowed: {whole}, 1 to 10")),
        row(job_with("attempts", json!(11)), format!("attempts: given 11; allowed: {whole}, 1 to 10")),
        row(
            job_with("queueMinutes", json!(10_081)),
            format!("queueMinutes: given 10081; allowed: {whole}, 0 to 10080"),
        ),
        row(job_with("user", json!("")), format!("user: given an empty text; allowed: {text}")),
        row(job_with("user", json!("a<b")), format!("user: given a<b; allowed: {text}")),
        row(job_with("tags", json!(["a"])), "tags: given a list; allowed: an object"),
        row(job_with("tags", json!({ "team": "a;b" })), format!("tags.team: given a;b; allowed: {text}")),
        row(
            job_with("tags", json!({ "": "x" })),
            "tags: given an empty text; allowed: keys of 1 to 128 letters, digits, spaces and _ . : / = + - @, \
             no combining marks",
        ),
        row(job_with("tags", tags.into()), "tags: given 41 tags; allowed: at most 40"),
    ];
    let allowed = "a key other than expiry and user that does not begin with aws: or mayfly:";
    table.extend(["mayfly:job", "aws:name", "User", "expiry"].map(|key| {
        row(job_with("tags", json!({ key: "x" })), format!("tags.{key}: given {key}; allowed: {allowed}"))
    }));
    table
}

/// A job that runs this command.
fn command(command: &[&str]) -> Value {
    json!({ "task": { "command": command } })
}
