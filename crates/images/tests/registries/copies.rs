//! Copies, which are pulled back.

use std::cell::RefCell;

use mayfly_images::{Blob, Error, Platforms, copy};
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde_json::{Value, json};

use crate::{World, digest, password, words};

fn only(platforms: &[&str]) -> Platforms {
    Platforms::Only(platforms.iter().map(|platform| platform.parse().expect("a platform")).collect())
}

/// Copies, and returns the digest and how many blobs were sent and how many were there.
async fn copied(
    world: &World,
    image: &str,
    tag: &str,
    platforms: &Platforms,
) -> Result<(String, usize, usize), Error> {
    let told = RefCell::new((0, 0));
    let count = |blob: Blob<'_>| {
        let mut told = told.borrow_mut();
        if blob.was_there { told.1 += 1 } else { told.0 += 1 }
    };
    let digest = copy(&world.source(image), &world.target(tag), platforms, count).await?;
    let (sent, there) = told.into_inner();
    Ok((digest, sent, there))
}

/// Everything that a manifest names can be pulled, and is what it is named. Returns how many blobs there are.
async fn is_whole(world: &World, name: &str) -> usize {
    let manifest = world.pull(&format!("manifests/{name}")).await;
    assert_eq!(manifest.status, 200, "{name}");
    let manifest = manifest.json();
    let mut blobs = 0;
    for image in manifest["manifests"].as_array().into_iter().flatten() {
        blobs += Box::pin(is_whole(world, image["digest"].as_str().unwrap())).await;
    }
    for blob in manifest["layers"].as_array().into_iter().flatten().chain(manifest.get("config")) {
        let wanted = blob["digest"].as_str().unwrap();
        let pulled = world.pull(&format!("blobs/{wanted}")).await;
        assert_eq!(digest(&pulled.content), wanted);
        blobs += 1;
    }
    blobs
}

#[tokio::test]
async fn a_whole_index_is_copied_byte_for_byte() {
    let world = World::start().await;
    let index = world.index("library/tool", "1");

    let (copy, sent, there) = copied(&world, "library/tool:1", "tool", &Platforms::All).await.unwrap();

    assert_eq!(copy, digest(index.as_bytes()));
    // Three configurations, and six layers of which two are one.
    assert_eq!((sent, there), (8, 0));
    for name in ["tool", &copy] {
        let pulled = world.pull(&format!("manifests/{name}")).await;
        assert_eq!(
            (pulled.media_type.as_str(), pulled.content.as_ref()),
            (OCI_IMAGE_INDEX_MEDIA_TYPE, index.as_bytes())
        );
    }
    assert_eq!(is_whole(&world, "tool").await, 9);
}

#[tokio::test]
async fn what_the_target_has_is_not_sent_again() {
    let world = World::start().await;
    world.index("library/tool", "1");
    copied(&world, "library/tool:1", "tool", &only(&["linux/amd64"])).await.unwrap();
    let (_, sent, there) = copied(&world, "library/tool:1", "tool", &only(&["linux/arm64"])).await.unwrap();
    assert_eq!((sent, there), (2, 1), "the layer that both have is there");
    let (_, sent, there) = copied(&world, "library/tool:1", "tool", &only(&["linux/arm64"])).await.unwrap();
    assert_eq!((sent, there), (0, 3));
}

#[tokio::test]
async fn of_an_index_only_the_platforms_that_are_wanted_are_copied() {
    let world = World::start().await;
    let index = world.index("library/tool", "1");
    let whole: Value = serde_json::from_str(&index).unwrap();

    let (copy, ..) = copied(&world, "library/tool:1", "tool", &only(&["linux/arm64"])).await.unwrap();

    let pulled = world.pull("manifests/tool").await;
    assert_eq!(copy, digest(&pulled.content));
    assert_eq!(pulled.media_type, OCI_IMAGE_INDEX_MEDIA_TYPE);
    assert_eq!(pulled.json()["manifests"], json!([whole["manifests"][1]]), "as its own index has it");
    assert_eq!(is_whole(&world, "tool").await, 3);
    let other = whole["manifests"][0]["digest"].as_str().unwrap();
    assert_eq!(world.pull(&format!("manifests/{other}")).await.status, 404);
    let layer = digest(b"for amd64");
    assert_eq!(world.pull(&format!("blobs/{layer}")).await.status, 404);
}

#[tokio::test]
async fn a_platform_that_is_not_there_is_refused_with_those_that_are() {
    let world = World::start().await;
    world.index("library/tool", "1");
    let error = copied(&world, "library/tool:1", "tool", &only(&["linux/amd64", "windows/amd64"])).await;
    let error = error.expect_err("it is not for Windows").to_string();
    let host = &world.public_server.host;
    assert_eq!(
        error,
        format!(
            "{host}/library/tool:1 is not for windows/amd64, but for linux/amd64, linux/arm64/v8; choose among these"
        )
    );
    assert_eq!(world.pull("manifests/tool").await.status, 404);
}

#[tokio::test]
async fn an_image_without_an_index_is_for_what_its_configuration_says() {
    let world = World::start().await;
    let platform = json!({ "os": "linux", "architecture": "amd64" });
    let entry = world.image("library/one", &platform, [b"a", b"b"]);
    let image = format!("library/one@{}", entry["digest"].as_str().unwrap());
    let (copy, ..) = copied(&world, &image, "one", &only(&["linux/amd64"])).await.unwrap();
    assert_eq!(copy, entry["digest"].as_str().unwrap());
    let pulled = world.pull("manifests/one").await;
    assert_eq!((pulled.media_type.as_str(), digest(&pulled.content)), (OCI_IMAGE_MEDIA_TYPE, copy));
    assert_eq!(is_whole(&world, "one").await, 3);

    let error =
        copied(&world, &image, "other", &only(&["linux/arm64"])).await.expect_err("the other processor");
    assert!(matches!(&error, Error::NoSuchPlatform { offered, .. } if offered == "linux/amd64"), "{error}");
}

#[tokio::test]
async fn an_index_of_docker_s_stays_one() {
    let world = World::start().await;
    let index =
        world.index("library/tool", "1").replace(OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE);
    world.public.store_manifest("library/tool", Some("2"), IMAGE_MANIFEST_LIST_MEDIA_TYPE, index.clone());
    let (copy, ..) = copied(&world, "library/tool:2", "tool", &Platforms::All).await.unwrap();
    assert_eq!(copy, digest(index.as_bytes()));
    assert_eq!(world.pull("manifests/tool").await.media_type, IMAGE_MANIFEST_LIST_MEDIA_TYPE);
}

/// Larger than what a socket and its buffers hold, so that it passes in parts.
#[tokio::test]
async fn a_large_layer_arrives_whole() {
    let world = World::start().await;
    let layer: Vec<u8> = (0..6_u32 << 20).flat_map(u32::to_le_bytes).collect();
    let entry =
        world.image("library/large", &json!({ "os": "linux", "architecture": "amd64" }), [&layer, b"b"]);
    let image = format!("library/large@{}", entry["digest"].as_str().unwrap());
    copied(&world, &image, "large", &Platforms::All).await.unwrap();
    assert_eq!(is_whole(&world, "large").await, 3);
}

#[tokio::test]
async fn a_private_image_is_copied_with_its_account() {
    let world = World::start().await;
    world.index("me/tool", "1");
    world.public.create_private("me/tool");
    let error = copied(&world, "me/tool:1", "tool", &Platforms::All).await.expect_err("it is private");
    assert!(matches!(error, Error::Denied { .. }), "{}", words(&error));
    let source = world.source_for("me/tool:1", password("me", "mine"));
    copy(&source, &world.target("tool"), &Platforms::All, |_| {}).await.unwrap();
    assert_eq!(is_whole(&world, "tool").await, 9);
}
