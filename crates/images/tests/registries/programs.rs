//! An image made of a program, which is pulled back.

use std::io::Read;

use flate2::read::GzDecoder;
use mayfly_images::{Error, Program, push_program};
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde_json::{Value, json};
use tar::Archive;

use crate::{World, digest};

const PATH: &str = "/usr/local/bin/worker";
const AMD64: u16 = 62;
const ARM64: u16 = 183;
/// Kinds of program headers.
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;

/// The beginning of a program: a header, and a program header of each kind.
fn elf(machine: u16, kinds: &[u32]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file[56..58].copy_from_slice(&u16::try_from(kinds.len()).unwrap().to_le_bytes());
    for kind in kinds {
        file.extend(kind.to_le_bytes());
        file.extend([0; 52]);
    }
    file
}

async fn json(world: &World, descriptor: &Value, media_type: &str) -> Value {
    assert_eq!(descriptor["mediaType"], media_type);
    let kind = if media_type == OCI_IMAGE_MEDIA_TYPE { "manifests" } else { "blobs" };
    let wanted = descriptor["digest"].as_str().unwrap();
    let pulled = world.pull(&format!("{kind}/{wanted}")).await;
    assert_eq!(digest(&pulled.content), wanted);
    assert_eq!(descriptor["size"], pulled.content.len());
    pulled.json()
}

#[tokio::test]
async fn a_program_becomes_an_image_for_both_processors() {
    let world = World::start().await;
    let programs = [("amd64", None, elf(AMD64, &[LOAD])), ("arm64", Some("v8"), elf(ARM64, &[LOAD, LOAD]))];
    let program = Program { path: PATH, amd64: &programs[0].2, arm64: &programs[1].2 };

    let pushed = push_program(&world.target("worker"), &program).await.unwrap();

    let index = world.pull("manifests/worker").await;
    assert_eq!((digest(&index.content), index.media_type.as_str()), (pushed, OCI_IMAGE_INDEX_MEDIA_TYPE));
    let index = index.json();
    assert_eq!(
        (&index["schemaVersion"], &index["mediaType"]),
        (&json!(2), &json!(OCI_IMAGE_INDEX_MEDIA_TYPE))
    );
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for (entry, (architecture, variant, file)) in entries.iter().zip(&programs) {
        let mut platform = json!({ "os": "linux", "architecture": architecture });
        if let Some(variant) = variant {
            platform["variant"] = json!(variant);
        }
        assert_eq!(entry["platform"], platform);
        let manifest = json(&world, entry, OCI_IMAGE_MEDIA_TYPE).await;
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0]["mediaType"], IMAGE_LAYER_GZIP_MEDIA_TYPE);
        let layer = world.pull(&format!("blobs/{}", layers[0]["digest"].as_str().unwrap())).await.content;
        assert_eq!(layers[0]["size"], layer.len());
        let mut archive = Vec::new();
        GzDecoder::new(layer.as_ref()).read_to_end(&mut archive).unwrap();

        let mut config = platform;
        config["config"] = json!({ "Entrypoint": [PATH] });
        config["rootfs"] = json!({ "type": "layers", "diff_ids": [digest(&archive)] });
        assert_eq!(json(&world, &manifest["config"], IMAGE_CONFIG_MEDIA_TYPE).await, config);
        is_program_and_roots(&archive, file);
    }
}

/// Folders before what is in them, everything root's and of no time.
fn is_program_and_roots(archive: &[u8], program: &[u8]) {
    let mut paths = Vec::new();
    for entry in Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        assert_eq!(
            (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()),
            (0, 0, 0),
            "{path}"
        );
        let mode = header.mode().unwrap();
        match path.as_str() {
            "usr/local/bin/worker" => assert_eq!((mode, content.as_slice()), (0o755, program)),
            "etc/ssl/certs/ca-certificates.crt" => {
                assert_eq!(mode, 0o644);
                let roots = String::from_utf8(content).unwrap();
                assert!(roots.matches("-----BEGIN CERTIFICATE-----\n").count() > 100);
                assert!(roots.lines().all(|line| line.len() <= 64));
                assert!(
                    reqwest::Certificate::from_pem_bundle(roots.as_bytes())
                        .is_ok_and(|roots| roots.len() > 100)
                );
            }
            _ => assert_eq!((mode, content.as_slice()), (0o755, [].as_slice()), "{path}"),
        }
        paths.push(path);
    }
    assert_eq!(
        paths,
        [
            "etc/",
            "etc/ssl/",
            "etc/ssl/certs/",
            "etc/ssl/certs/ca-certificates.crt",
            "usr/",
            "usr/local/",
            "usr/local/bin/",
            "usr/local/bin/worker"
        ]
    );
}

#[tokio::test]
async fn the_same_program_makes_the_same_image() {
    let world = World::start().await;
    let (amd64, arm64, other) = (elf(AMD64, &[LOAD]), elf(ARM64, &[LOAD]), elf(ARM64, &[LOAD, LOAD]));
    let program = Program { path: PATH, amd64: &amd64, arm64: &arm64 };
    let first = push_program(&world.target("first"), &program).await.unwrap();
    assert_eq!(push_program(&world.target("second"), &program).await.unwrap(), first);
    let third = push_program(&world.target("third"), &Program { arm64: &other, ..program }).await.unwrap();
    assert_ne!(third, first);
}

#[tokio::test]
async fn a_program_that_would_not_run_there_is_refused() {
    let world = World::start().await;
    let (amd64, arm64) = (elf(AMD64, &[LOAD]), elf(ARM64, &[LOAD]));
    let dynamic = elf(AMD64, &[LOAD, INTERPRETER]);
    let program = Program { path: PATH, amd64: &amd64, arm64: &arm64 };
    for (program, platform, words) in [
        (Program { amd64: &arm64, ..program }, "linux/amd64", "for another processor"),
        (Program { arm64: &amd64, ..program }, "linux/arm64", "for another processor"),
        (Program { amd64: &dynamic, ..program }, "linux/amd64", "linked dynamically"),
        (Program { amd64: b"#!/bin/sh\n", ..program }, "linux/amd64", "no 64-bit program"),
        (Program { amd64: &amd64[..66], ..program }, "linux/amd64", "cut off"),
    ] {
        let error = push_program(&world.target("worker"), &program).await.expect_err(words);
        assert!(matches!(&error, Error::Program { platform: for_, .. } if for_ == platform), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(world.pull("manifests/worker").await.status, 404);
}
