//! An image made of one program.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use oci_client::RegistryOperation;
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::digest::digest;
use crate::error::Error;
use crate::remote::Remote;
use crate::roots::roots;

/// Where programs look for the authorities that they trust, on Debian and Alpine at least.
/// Source: crate openssl-probe, which rustls-native-certs asks.
const ROOTS: &str = "etc/ssl/certs/ca-certificates.crt";

/// A static program for both of Fargate's processors.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Where it is in the image, from the root.
    pub path: &'a str,
    /// The program for x86-64.
    pub amd64: &'a [u8],
    /// The program for ARM64.
    pub arm64: &'a [u8],
}

/// A blob or a manifest that is named by another.
struct Part {
    media_type: &'static str,
    content: Bytes,
}

/// Makes an image of `program` and the authorities of the web, and nothing else, for both processors, and writes it to
/// `target`. The same program makes the same image, byte for byte. Returns the digest of its index.
pub async fn push_program(target: &Remote, program: &Program<'_>) -> Result<String, Error> {
    let platforms = [
        ("amd64", None, machine::X86_64, program.amd64),
        // Source: github.com/containerd/platforms, database.go: ARM64 is v8.
        ("arm64", Some("v8"), machine::AARCH64, program.arm64),
    ];
    for (architecture, _, machine, file) in platforms {
        machine::check(file, machine)
            .map_err(|what| Error::Program { platform: format!("linux/{architecture}"), what })?;
    }
    target.sign_in(RegistryOperation::Push).await?;
    let mut entries = Vec::new();
    for (architecture, variant, _, file) in platforms {
        let platform = platform(architecture, variant);
        let manifest = push_image(target, program.path, file, &platform).await?;
        let mut entry = manifest.described();
        entry["platform"] = platform;
        entries.push(entry);
    }
    let index = Part::json(
        OCI_IMAGE_INDEX_MEDIA_TYPE,
        &json!({ "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": entries }),
    );
    target.push_manifest(None, index.media_type, index.content.clone()).await?;
    Ok(index.digest())
}

fn platform(architecture: &str, variant: Option<&str>) -> Value {
    let mut platform = json!({ "os": "linux", "architecture": architecture });
    if let Some(variant) = variant {
        platform["variant"] = variant.into();
    }
    platform
}

/// Writes the image for one platform, under its digest alone.
async fn push_image(target: &Remote, path: &str, file: &[u8], platform: &Value) -> Result<Part, Error> {
    let layer = layer(path, file);
    let compressed = Part { media_type: IMAGE_LAYER_GZIP_MEDIA_TYPE, content: compressed(&layer) };
    // Source: OCI image specification, config.md: the ids are the digests of the layers as they are uncompressed.
    let mut config = platform.clone();
    config["config"] = json!({ "Entrypoint": [path] });
    config["rootfs"] = json!({ "type": "layers", "diff_ids": [digest(&layer)] });
    let config = Part::json(IMAGE_CONFIG_MEDIA_TYPE, &config);
    for part in [&compressed, &config] {
        part.push(target).await?;
    }
    let manifest = Part::json(
        OCI_IMAGE_MEDIA_TYPE,
        &json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "config": config.described(),
            "layers": [compressed.described()],
        }),
    );
    target.push_manifest(Some(&manifest.digest()), manifest.media_type, manifest.content.clone()).await?;
    Ok(manifest)
}

impl Part {
    fn json(media_type: &'static str, content: &Value) -> Self {
        Self { media_type, content: content.to_string().into() }
    }

    fn digest(&self) -> String {
        digest(&self.content)
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// Source: OCI image specification, descriptor.md.
    fn described(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.size() })
    }

    async fn push(&self, target: &Remote) -> Result<(), Error> {
        let digest = self.digest();
        if target.has_blob(&digest).await? {
            return Ok(());
        }
        let content = self.content.clone();
        target.push_blob(&digest, self.size(), stream::iter([Ok(content)])).await
    }
}

/// The archive of an image's files: owned by root, and as old as time, so that it does not tell when it was made.
fn layer(path: &str, file: &[u8]) -> Vec<u8> {
    let roots = roots();
    let path = path.trim_start_matches('/');
    let mut archive = Builder::new(Vec::new());
    let mut folders = Vec::new();
    for (path, mode, content) in [(ROOTS, 0o644, roots.as_bytes()), (path, 0o755, file)] {
        let above = path.match_indices('/').map(|(end, _)| &path[..=end]);
        for folder in above.filter(|folder| !folders.contains(folder)).collect::<Vec<_>>() {
            append(&mut archive, folder, EntryType::Directory, 0o755, &[]);
            folders.push(folder);
        }
        append(&mut archive, path, EntryType::Regular, mode, content);
    }
    archive.into_inner().expect("memory takes what is written")
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).expect("memory takes what is written");
}

/// With gzip, whose header is left without a time and a name.
fn compressed(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written: io::Result<Vec<u8>> = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("memory takes what is written").into()
}

/// What an executable says of itself.
mod machine {
    /// `EM_X86_64`. Source: System V ABI, the supplement for AMD64.
    pub const X86_64: u16 = 62;
    /// `EM_AARCH64`. Source: ELF for the Arm 64-bit Architecture.
    pub const AARCH64: u16 = 183;

    /// The program header that names a dynamic linker, which is in no image of one program.
    const PT_INTERP: u32 = 3;

    /// Whether `file` is a static program for `machine`; else what it is instead.
    /// Source: elf(5): the 64-bit header, least byte first, as both processors have it.
    pub fn check(file: &[u8], machine: u16) -> Result<(), &'static str> {
        let half = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return Err("no 64-bit program for Linux");
        }
        if half(18) != Some(machine) {
            return Err("for another processor");
        }
        let is_static = (|| {
            let table = usize::try_from(u64::from_le_bytes(file.get(32..40)?.try_into().ok()?)).ok()?;
            let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
            for header in 0..count {
                let at = table.checked_add(header * size)?;
                let kind = u32::from_le_bytes(file.get(at..at.checked_add(4)?)?.try_into().ok()?);
                if kind == PT_INTERP {
                    return Some(false);
                }
            }
            Some(true)
        })();
        match is_static {
            Some(true) => Ok(()),
            Some(false) => Err("linked dynamically, and would not find its libraries"),
            None => Err("cut off"),
        }
    }
}
