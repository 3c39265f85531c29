//! What registries refuse, and how that is told.

use std::fs;
use std::io;

use mayfly_images::{Credentials, Error, Platforms, Remote, copy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{PULLS, World, digest, password, words};

async fn error(source: &Remote, target: &Remote) -> Error {
    copy(source, target, &Platforms::All, |_| {}).await.expect_err("it is refused")
}

#[tokio::test]
async fn an_image_that_is_not_there_is_named() {
    let world = World::start().await;
    world.index("library/tool", "1");
    let error = error(&world.source("library/tool:2"), &world.target("tool")).await;
    assert_eq!(
        words(&error),
        format!(
            "there is no {}/library/tool:2, MANIFEST_UNKNOWN: manifest unknown; look for a mistake in its name, tag or \
             digest",
            world.public_server.host
        )
    );
}

/// Docker Hub does not tell the two apart.
#[tokio::test]
async fn a_repository_that_is_not_there_may_be_a_private_one() {
    let world = World::start().await;
    let error = error(&world.source("library/none:1"), &world.target("tool")).await;
    assert!(matches!(error, Error::Denied { .. }), "{}", words(&error));
    assert!(words(&error).ends_with(
        "library/none:1; either it does not exist, or it takes the credentials of somebody who may have it"
    ));
}

#[tokio::test]
async fn the_registry_s_limit_is_told_in_its_words() {
    let world = World::start().await;
    world.index("library/tool", "1");
    // The index, and three images.
    for _ in 0..PULLS / 4 {
        copy(&world.source("library/tool:1"), &world.target("tool"), &Platforms::All, |_| {}).await.unwrap();
    }
    let error = error(&world.source("library/tool:1"), &world.target("tool")).await;
    assert_eq!(
        words(&error),
        format!(
            "the limit of {} is met, TOOMANYREQUESTS: You have reached your unauthenticated pull rate limit. \
             https://www.docker.com/increase-rate-limit; try again later, or with the credentials of an account there",
            world.public_server.host
        )
    );
    let account = world.source_for("library/tool:1", password("me", "mine"));
    copy(&account, &world.target("tool"), &Platforms::All, |_| {}).await.expect("that is the remedy");
}

#[tokio::test]
async fn wrong_credentials_are_denied_on_either_side() {
    let world = World::start().await;
    world.index("library/tool", "1");
    let source = world.source_for("library/tool:1", password("me", "wrong"));
    let denied = error(&source, &world.target("tool")).await;
    assert!(
        matches!(&denied, Error::Denied { said, .. } if said.contains("incorrect username or password")),
        "{denied}"
    );

    let name = world.target("tool").name();
    for credentials in [password("AWS", "expired"), Credentials::Anonymous] {
        let target = Remote::target(&name, credentials).unwrap();
        let denied = error(&world.source("library/tool:1"), &target).await;
        assert!(matches!(&denied, Error::Denied { image, .. } if *image == name), "{denied}");
        assert!(!words(&denied).contains("expired"), "no password is repeated: {}", words(&denied));
    }
}

#[tokio::test]
async fn a_repository_is_not_made_by_a_push() {
    let world = World::start().await;
    world.index("library/tool", "1");
    let name = format!("{}/other:tool", world.account_server.host);
    let target = Remote::target(&name, password("AWS", "secret")).unwrap();
    let refused = error(&world.source("library/tool:1"), &target).await;
    assert!(matches!(&refused, Error::NotFound { image, .. } if *image == name), "{}", words(&refused));
    assert!(
        words(&refused).contains("The repository with name 'other' does not exist"),
        "{}",
        words(&refused)
    );
}

#[tokio::test]
async fn a_layer_that_is_not_what_its_digest_says_is_not_taken() {
    let world = World::start().await;
    world.index("library/tool", "1");
    let layer = digest(b"for amd64");
    fs::write(world.public_folder.path().join(layer.replace(':', "-")), b"FOR AMD64").unwrap();
    let damaged = error(&world.source("library/tool:1"), &world.target("tool")).await;
    assert!(matches!(damaged, Error::Damaged { .. }), "{}", words(&damaged));
    assert_eq!(world.pull(&format!("blobs/{layer}")).await.status, 404);
    assert_eq!(world.pull("manifests/tool").await.status, 404);
}

#[tokio::test]
async fn what_is_no_image_is_not_copied() {
    let world = World::start().await;
    world.public.store_manifest(
        "library/old",
        Some("1"),
        "application/json",
        r#"{ "schemaVersion": 1, "fsLayers": [] }"#,
    );
    let refused = error(&world.source("library/old:1"), &world.target("old")).await;
    assert!(matches!(refused, Error::NoImage { .. }), "{}", words(&refused));
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named_with_the_cause() {
    let world = World::start().await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let source = Remote::source(&format!("{port}/tool:1"), Credentials::Anonymous).unwrap();
    let error = error(&source, &world.target("tool")).await;
    assert!(
        words(&error).starts_with(&format!("the connection to {port} has failed; try again")),
        "{}",
        words(&error)
    );
    assert!(words(&error).contains("refused"), "{}", words(&error));
}

/// Whoever has such a URL has the layer.
#[tokio::test]
async fn a_signed_url_is_in_no_error() {
    let world = World::start().await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap();
    let sends_away = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await?;
            _ = stream.read(&mut [0; 4096]).await?;
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{nowhere}/?X-Amz-Signature=0a1b\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
        }
        #[expect(unreachable_code, reason = "the type of what the loop fails with")]
        io::Result::Ok(())
    });
    let source = Remote::source(&format!("{registry}/tool:1"), Credentials::Anonymous).unwrap();
    let failed = error(&source, &world.target("tool")).await;
    assert!(matches!(failed, Error::Connection { .. }), "{}", words(&failed));
    assert!(!format!("{} {failed:?}", words(&failed)).contains("0a1b"), "{failed:?}");
    sends_away.abort();
}
