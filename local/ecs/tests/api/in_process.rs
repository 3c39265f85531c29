//! The stand-in as a function of a request, with containers that are played in this process: no socket and no process of
//! another program.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Request;
use jiff::Timestamp;
use local_aws::reach::{Connection, Reachable, Transport};
use local_aws::server::Service;
use local_ecs::{Container, Launch, Line, NoImage, Runtime, Wanted};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cloud::{CLUSTER, Cloud};

/// Plays every container: it says one line, and ends when it is told to.
#[derive(Clone, Debug, Default)]
struct Player {
    /// The variables of each task's container.
    environments: Arc<Mutex<BTreeMap<String, BTreeMap<String, String>>>>,
    /// The exit codes that they have had in the end.
    exit_codes: Arc<Mutex<BTreeMap<String, i32>>>,
    /// The tasks whose containers were removed.
    removed: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug)]
struct Played {
    task: String,
    exit_code: watch::Sender<Option<i32>>,
    player: Player,
}

impl Played {
    fn end(&self, exit_code: i32) {
        self.player.exit_codes.lock().unwrap().entry(self.task.clone()).or_insert(exit_code);
        self.exit_code.send_replace(Some(exit_code));
    }
}

impl Runtime for Player {
    fn pull<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<(), NoImage>> {
        let pulled = if wanted.image.ends_with("/played") { Ok(()) } else { Err(NoImage::NotFound) };
        async { pulled }.boxed()
    }

    fn start(&self, launch: Launch) -> BoxFuture<'_, anyhow::Result<Box<dyn Container>>> {
        async move {
            let logs = launch.logs.expect("the definition has a log");
            logs.put(vec![Line { time: Timestamp::UNIX_EPOCH, text: "played".into() }]).await;
            self.environments.lock().unwrap().insert(launch.task.clone(), launch.environment);
            let played =
                Played { task: launch.task, exit_code: watch::Sender::default(), player: self.clone() };
            Ok(Box::new(played) as Box<dyn Container>)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, task: &'a str) -> BoxFuture<'a, io::Result<()>> {
        self.removed.lock().unwrap().push(task.to_owned());
        async { Ok(()) }.boxed()
    }
}

impl Reachable for Played {
    fn connect(&self, _: Transport, _: u16) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        unreachable!("no definition here has ports")
    }
}

impl Container for Played {
    fn exit_code(&self) -> BoxFuture<'_, i32> {
        let mut ended = self.exit_code.subscribe();
        async move { ended.wait_for(Option::is_some).await.unwrap().unwrap() }.boxed()
    }

    fn terminate(&self) {
        self.end(143);
    }

    fn kill(&self) {
        self.end(137);
    }

    fn freeze(&self) {}

    fn is_out_of_memory(&self) -> bool {
        false
    }

    fn run<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, io::Result<i32>> {
        unreachable!("no definition here has a health check")
    }
}

#[tokio::test]
async fn a_task_is_played_from_its_start_to_its_end_without_a_socket() {
    let player = Player::default();
    let cloud = Cloud::in_process(player.clone());
    let definition = cloud.register("played").await;
    cloud.service("job", &definition).send().await.unwrap();
    let task = cloud.task_in("job", "RUNNING").await;
    let id = task.task_arn().unwrap().rsplit('/').next().unwrap();
    assert_eq!(cloud.seen.lock().unwrap().logs[&format!("jobs/worker/{id}")], ["played"]);

    let environment = player.environments.lock().unwrap()[id].clone();
    assert_eq!((environment["GREETING"].as_str(), environment["PASSWORD"].as_str()), ("hello", "p4ss"));
    let agent = cloud.stand_in.agent();
    let ask = async |url: &str| {
        let path = url.strip_prefix("http://agent").unwrap();
        let answer = agent.answer(Request::get(path).body(Bytes::new()).unwrap()).await;
        (answer.status().as_u16(), serde_json::from_slice::<Value>(answer.body()).unwrap())
    };
    let metadata = &environment["ECS_CONTAINER_METADATA_URI_V4"];
    let (status, described) = ask(&format!("{metadata}/task")).await;
    assert_eq!((status, &described["TaskARN"]), (200, &task.task_arn().unwrap().into()));
    let (status, keys) = ask(&environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]).await;
    assert_eq!((status, &keys["AccessKeyId"]), (200, &"ASIAtask".into()));
    assert_eq!(ask("http://agent/v2/credentials/x").await.0, 404);

    cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    assert_eq!(stopped.containers()[0].exit_code(), Some(143));
    assert_eq!(*player.removed.lock().unwrap(), [id]);
}

#[tokio::test]
async fn a_stand_in_that_is_stopped_kills_its_containers() {
    let player = Player::default();
    let cloud = Cloud::in_process(player.clone());
    let definition = cloud.register("played").await;
    cloud.service("job", &definition).send().await.unwrap();
    let task = cloud.task_in("job", "RUNNING").await;
    timeout(Duration::from_secs(20), cloud.stand_in.stop()).await.expect("it ends");
    let id = task.task_arn().unwrap().rsplit('/').next().unwrap();
    assert_eq!(player.exit_codes.lock().unwrap()[id], 137);
}
