//! Signed URLs and forms expire, and a worker that shows an expired one is given a fresh one as often as it takes: as in a job of
//! 24 hours, with the lifetime shortened.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use mayfly_model::message::Assignment;
use mayfly_simulation::account::JOB;
use mayfly_stand_ins::worker::{Behaviour as Work, Director};
use serde_json::json;

use crate::support::behaviour::{Behaviour, behaviour};
use crate::support::containers::works;
use crate::support::world::scene;

pub fn behaviours() -> Vec<Behaviour> {
    vec![behaviour("a_signed_url_expires_and_a_fresh_one_is_given", expires)]
}

/// How long URLs are good for, in seconds.
const LIFETIME: u64 = 60;
const LIFETIME_TEXT: &str = "60";

/// Containers whose program takes longer than that to ask for orders.
#[derive(Debug)]
struct Slow(Work);

impl Director for Slow {
    fn start_up(&self, _: &str) -> Duration {
        Duration::from_secs(LIFETIME)
    }

    fn behaviour(&self, _: &str, _: &Assignment) -> Work {
        self.0.clone()
    }
}

/// The first input's URL expires before the container has come, the second's while that is downloaded, and the second output's form
/// while the first output is uploaded.
async fn expires() -> Result<()> {
    let longer = Duration::from_secs(LIFETIME + 10);
    let director = Arc::new(Slow(Work { download: longer, upload: longer, ..works(LIFETIME + 10) }));
    let scene = scene().parameter("SignedUrlSeconds", LIFETIME_TEXT).directed(director);
    let file = |name: &str, place: &str| json!({ "file": name, place: format!("s3://mayfly-data/{name}") });
    let document = json!({ "attempts": 1, "task": {
        "inputs": [file("a", "from"), file("b", "from")],
        "command": ["work"],
        "outputs": [file("c", "to"), file("d", "to")],
    } });
    let mut world = scene.begin().await?;
    world.start(JOB, &document).await?;
    let course = world.course(JOB).await?;
    assert_eq!((course.result()?.attempt, course.result()?.outputs.len()), (1, 2));
    let lives = world.run.stage.truth().lives();
    let starts: Vec<_> = lives.values().flat_map(|life| &life.starts).collect();
    let [start] = starts[..] else { panic!("{lives:#?}") };
    let signed: Vec<_> =
        start.signed.iter().map(|signed| (&*signed.file, signed.refused.as_deref())).collect();
    let (good, expired) = (None, Some("it has expired"));
    assert_eq!(
        signed,
        [("a", expired), ("a", good), ("b", expired), ("b", good), ("c", good), ("d", expired), ("d", good)]
    );
    assert_eq!(world.said("urls sent"), 4, "for each input, for the outputs, and for the second of them");
    world.finish().await
}
