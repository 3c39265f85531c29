//! Any image runs as it is: without the worker, without a shell, as another user, with files that cannot be written.

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::Trial;
use local_ecs::Level;
use mayfly_model::class::Class;
use serde_json::{Value, json};

use crate::support::course::{self, sample};
use crate::support::harness::Harness;
use crate::support::world::World;

/// An image that has a language and no worker.
const IMAGE: &str = "public.ecr.aws/docker/library/python:3.13-slim";

pub fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("an_image_without_worker_and_shell_runs", without_worker_and_shell),
        harness.trial("a_command_runs_as_whom_and_where_the_document_says", as_whom_and_where),
        harness.trial("what_an_image_does_not_have_is_told_before_any_download", what_it_does_not_have),
    ]
}

async fn without_worker_and_shell(world: Arc<World>, job: String) -> Result<()> {
    let course = sample("run-job.any-image.json")?.run(&world, &job).await?;
    assert!(course.result()?.outputs[0].bytes > 0);
    Ok(())
}

fn document(container: &Value, command: &[&str]) -> Value {
    let mut document =
        json!({ "attempts": 1, "container": { "image": IMAGE }, "task": { "command": command } });
    let given =
        container.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
    document["container"].as_object_mut().expect("an object").extend(given);
    document
}

async fn as_whom_and_where(world: Arc<World>, job: String) -> Result<()> {
    let level = world.cloud().level();
    if level != Level::Users {
        eprintln!("NOT RUN, a command of another user: {level}");
        return Ok(());
    }
    let script = "import os, pathlib\n\
        assert (os.getuid(), os.getgid(), os.getgroups()) == (4242, 4243, []), (os.getuid(), os.getgid(), os.getgroups())\n\
        assert os.getcwd() == '/usr', os.getcwd()\n\
        files = pathlib.Path(os.environ['MAYFLY_FILES'])\n\
        (files / 'out.txt').write_text('written')\n\
        try:\n    open('/planted', 'w')\n    raise SystemExit('the image can be written')\n\
        except OSError: pass\n\
        open('/tmp/scratch', 'w')\n";
    let container = json!({ "user": "4242:4243", "workingDirectory": "/usr", "readOnly": true });
    let mut document = document(&container, &["python3", "-c", script]);
    document["task"]["outputs"] =
        json!([{ "file": "out.txt", "to": format!("s3://mayfly-data/{job}/out.txt") }]);
    let course = course::run(&world, &job, &document, []).await?;
    assert_eq!(course.result()?.outputs[0].bytes, 7);
    Ok(())
}

async fn what_it_does_not_have(world: Arc<World>, base: String) -> Result<()> {
    let cases = [
        ("program", json!({}), ["/no/program", "-x"], Class::CommandFailed, "have the program `/no/program`"),
        (
            "folder",
            json!({ "workingDirectory": "/no/folder" }),
            ["true", ""],
            Class::CommandFailed,
            "no folder /no/folder",
        ),
        (
            "user",
            json!({ "user": "nobody-at-all" }),
            ["true", ""],
            Class::InvalidJob,
            "no user \"nobody-at-all\"",
        ),
    ];
    for (name, container, command, class, words) in cases {
        let mut document = document(&container, &command);
        document["task"]["inputs"] = json!([{ "file": "in.txt", "from": "s3://mayfly-data/is-not-there" }]);
        let course = course::run(&world, &format!("{base}-{name}"), &document, []).await?;
        let failure = course.failure(class, Some(1))?;
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    Ok(())
}
