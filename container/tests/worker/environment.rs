//! The variables of the job and of its image: the command gets them all, and the worker goes by none.

use std::fs;

use mayfly_model::message::{Assignment, Download, Order};
use nix::unistd::{Uid, User, geteuid};

use crate::cloud::{Cloud, assignment};

/// A port at which nobody listens, and a file that is not there.
const NOBODY: &str = "http://127.0.0.1:9";
const NOWHERE: &str = "/nonexistent";

/// What libraries of the worker would go by.
const RULING: [(&str, &str); 20] = [
    ("HTTP_PROXY", NOBODY),
    ("http_proxy", NOBODY),
    ("HTTPS_PROXY", NOBODY),
    ("https_proxy", NOBODY),
    ("ALL_PROXY", NOBODY),
    ("all_proxy", NOBODY),
    ("NO_PROXY", ""),
    ("SSL_CERT_FILE", NOWHERE),
    ("SSL_CERT_DIR", NOWHERE),
    ("TMPDIR", NOWHERE),
    ("RUST_LOG", "trace"),
    ("AWS_ENDPOINT_URL", NOBODY),
    ("AWS_ENDPOINT_URL_SQS", NOBODY),
    ("AWS_CA_BUNDLE", NOWHERE),
    ("AWS_PROFILE", "image"),
    ("AWS_ACCESS_KEY_ID", "image"),
    ("AWS_SECRET_ACCESS_KEY", "image"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", NOWHERE),
    ("AWS_USE_FIPS_ENDPOINT", "true"),
    ("LANG", "C"),
];

/// Runs a job in a container with this environment, its input and output included, and tells what it has printed.
async fn printed(environment: &[(&str, &str)], script: &str) -> String {
    let mut cloud = Cloud::start_in(environment).await;
    cloud.queues.state.objects.lock().unwrap().insert("/in".to_owned(), b"input".to_vec());
    let inputs = vec![Download { file: "in".to_owned(), url: cloud.place("in?X-Amz-Signature=good") }];
    let outputs = vec!["in".to_owned()];
    cloud.order(&Order::Run(Assignment { inputs, outputs, ..assignment(1, script) }));
    cloud.sign_upload(1, "in", "bucket", &[("key", "out")]).await;
    let (_, finished) = cloud.finished().await;
    assert_eq!((finished.failure, finished.outputs.len()), (None, 1));
    cloud.terminate();
    cloud.ended().await.1
}

/// The environment with a home whose `.aws/config` sends every call astray.
async fn is_not_ruled_by(name_of: impl Fn(&str) -> String) {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    let config = home.path().join(".aws/config");
    fs::write(&config, format!("[default]\nendpoint_url = {NOBODY}\nregion = image\n[profile image]\n"))
        .unwrap();
    let (home, config) = (home.path().to_str().unwrap(), config.to_str().unwrap());
    let given = RULING.into_iter().chain([("HOME", home), ("AWS_CONFIG_FILE", config)]);
    let named: Vec<_> = given.clone().map(|(name, value)| (name_of(name), value)).collect();
    let named: Vec<_> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let log = printed(&named, "env").await;
    for (name, value) in given {
        assert!(log.lines().any(|line| line == format!("{name}={value}")), "{name} is missing in {log}");
    }
}

#[tokio::test]
async fn a_variable_or_secret_of_the_document_is_for_the_command_alone() {
    is_not_ruled_by(|name| format!("MAYFLY_VAR_{name}")).await;
}

#[tokio::test]
async fn a_variable_of_the_image_is_for_the_command_alone() {
    is_not_ruled_by(str::to_owned).await;
}

#[tokio::test]
async fn the_documents_variable_beats_the_images() {
    let both = [("GREETING", "of the image"), ("MAYFLY_VAR_GREETING", "of the document")];
    assert!(printed(&both, "echo \"greeting $GREETING\"").await.contains("\ngreeting of the document\n"));
}

#[tokio::test]
async fn a_command_has_a_name_and_places_that_it_can_write_to() {
    // Docker names root's home even where the command is somebody else.
    let (user, home) = match geteuid() {
        root if root.is_root() => (Uid::from_raw(10_001), Some(("HOME", "/root"))),
        own => (own, None),
    };
    let script = "mktemp && touch \"$HOME/x\" && echo \"user $USER $LOGNAME\"";
    let log = printed(home.as_slice(), script).await;
    let name = User::from_uid(user).unwrap().map_or_else(|| "mayfly".to_owned(), |user| user.name);
    assert!(log.contains(&format!("\nuser {name} {name}\n")), "{log}");
}

#[tokio::test]
async fn a_worker_without_its_own_variables_says_which_and_ends() {
    let cloud = Cloud::start_in(&[("MAYFLY_ENDPOINT_URL", "no URL")]).await;
    let (status, log) = cloud.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("the worker cannot go on: the environment variable MAYFLY_ENDPOINT_URL"), "{log}");
}
