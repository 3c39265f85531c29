//! `mayfly image`: brings images into the stack's repository, by the registries' HTTP API.

use std::fs;
use std::io::{self, IsTerminal, stdin};
use std::path::Path;

use anyhow::{Context, Result};
use console::Term;
use indicatif::HumanBytes;
use mayfly_images::{Blob, Credentials, Platform, Platforms, Program, Remote, push_program, tag};

use crate::out;
use crate::stack::{Stack, aws};

/// What the worker's image is called in the stack's repository.
const WORKER_TAG: &str = "worker";
/// Where the worker is in its image.
const WORKER_PATH: &str = "/usr/local/bin/mayfly-worker";

/// The tag of the image that jobs have which name none.
const DEFAULT_TAG: &str = "default";

/// Copies the image called `image`, or that of jobs that name none, into the stack's repository, and prints what it is called
/// there. No platform stands for the stack's processor, and `None` among them for all that there are.
pub async fn copy(
    stack: &Stack,
    image: Option<&str>,
    platforms: Vec<Option<Platform>>,
    username: Option<String>,
) -> Result<()> {
    let (image, tag) = if let Some(image) = image {
        (image, tag(image)?)
    } else {
        let image = stack.default_image.as_deref();
        let image =
            image.with_context(|| format!("the stack `{}` has no parameter DefaultImage", stack.name))?;
        (image, DEFAULT_TAG.to_owned())
    };
    let target = target(stack, &tag).await?;
    let credentials = match username {
        None => Credentials::Anonymous,
        Some(user) => {
            let password = password(&user).context("could not read the password from standard input")?;
            Credentials::Password { user, password }
        }
    };
    let source = Remote::source(image, credentials)?;
    let named: Option<Vec<_>> = platforms.into_iter().collect();
    let platforms = match named {
        None => Platforms::All,
        Some(named) if named.is_empty() => Platforms::Only(vec![own_platform(stack)?]),
        Some(named) => Platforms::Only(named),
    };
    let told = |Blob { digest, size, was_there }: Blob<'_>| {
        let what = if was_there { "is there " } else { "is copied" };
        out::tell(&format!("  {what}  {digest}  {}", HumanBytes(size)));
    };
    let digest = mayfly_images::copy(&source, &target, &platforms, told).await?;
    out::tell(&format!("  {digest}"));
    Ok(out::print(&format!("{}:{tag}", stack.repository))?)
}

/// Pushes the workers in the files `amd64` and `arm64` as one image, and prints what it is called.
pub async fn push_worker(stack: &Stack, amd64: &Path, arm64: &Path) -> Result<()> {
    let read = |file: &Path| {
        fs::read(file)
            .with_context(|| format!("could not read {}; `make worker` builds the worker", file.display()))
    };
    let (amd64, arm64) = (read(amd64)?, read(arm64)?);
    let target = target(stack, WORKER_TAG).await?;
    let digest = push_program(&target, &Program { path: WORKER_PATH, amd64: &amd64, arm64: &arm64 }).await?;
    out::tell(&format!("  {digest}"));
    Ok(out::print(&format!("{}:{WORKER_TAG}", stack.repository))?)
}

/// The password of `user`, a line of standard input that no terminal shows.
fn password(user: &str) -> io::Result<String> {
    if stdin().is_terminal() {
        out::ask(&format!("Password of {user}:"))?;
        return Term::stderr().read_secure_line();
    }
    let mut password = String::new();
    stdin().read_line(&mut password)?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

/// The image with this tag in the stack's repository, to be written.
async fn target(stack: &Stack, tag: &str) -> Result<Remote> {
    let answer = stack.ecr.get_authorization_token().send().await;
    let answer = answer.map_err(aws("sign in at the stack's repository"))?;
    let data = answer.authorization_data().first();
    let token = data.and_then(|data| data.authorization_token());
    let credentials = Credentials::of_ecr(token.context("ECR gave out no authorization token")?)?;
    // A local cloud's registry is not where its name says.
    let endpoint = data.and_then(|data| data.proxy_endpoint()).and_then(|url| url.split_once("://"));
    let (host, name) = stack.repository.split_once('/').context("the stack's repository has no name")?;
    let host = endpoint.map_or(host, |(_, host)| host.trim_end_matches('/'));
    Ok(Remote::target(&format!("{host}/{name}:{tag}"), credentials)?)
}

fn own_platform(stack: &Stack) -> Result<Platform> {
    let platform = match stack.architecture.as_deref() {
        Some("X86_64") => "linux/amd64",
        Some("ARM64") => "linux/arm64",
        _ => anyhow::bail!(
            "the stack `{}` does not say for which processor its containers are; say it with --platform",
            stack.name
        ),
    };
    platform.parse().map_err(anyhow::Error::msg)
}
