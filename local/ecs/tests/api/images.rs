//! Images that are pulled, and what a container has of its own in them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use aws_sdk_ecs::types::builders::ContainerDefinitionBuilder;
use aws_sdk_ecs::types::{ContainerDefinition, LinuxParameters, MountPoint, RepositoryCredentials, Task};
use local_ecs::Level;
use local_registry::{Config, Kind, Registry, Server};
use serde_json::{Value, json};

use crate::cloud::{ACCOUNT, CLUSTER, Cloud, REGION, eventually, logs, say};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A registry on loopback, and a cloud that pulls from it.
struct Place {
    cloud: Cloud,
    registry: Registry,
    server: Server,
    _folder: tempfile::TempDir,
}

/// A file of an image: its name, its mode, its owner and its content.
type Entry = (String, u32, u64, Vec<u8>);

impl Place {
    /// None where containers have no file tree of their own, which is said.
    async fn at(level: Option<Level>) -> Option<Self> {
        let cloud = Cloud::at_level(level).await;
        if cloud.level == Level::Processes {
            say(&format!("NOT RUN, of images: {}", Level::Processes));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (user, password) = ("u".to_owned(), "p4ss".to_owned());
        let kind = Kind::Public { user, password, pulls: u32::MAX };
        let registry = Registry::new(Config { kind, folder: folder.path().to_owned() });
        let server = Server::start(registry.clone()).await.unwrap();
        Some(Self { cloud, registry, server, _folder: folder })
    }

    /// Stores an image of these layers under a digest; `config` is its own, beside the platform.
    fn store(
        &self,
        name: &str,
        tag: Option<&str>,
        architecture: &str,
        config: &Value,
        layers: &[Vec<Entry>],
    ) -> String {
        let described = |media_type: &str, content: &[u8]| {
            let digest = self.registry.store_blob(name, content).unwrap();
            json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
        };
        let layers: Vec<_> = layers.iter().map(|entries| described(LAYER, &archive(entries))).collect();
        let config = json!({ "architecture": architecture, "os": "linux", "config": config });
        let config = described("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.registry.store_manifest(name, tag, MANIFEST, manifest.to_string())
    }

    /// Stores an index of one image under the tag `1`.
    fn index(&self, name: &str, architecture: &str, config: &Value, layers: &[Vec<Entry>]) {
        let digest = self.store(name, None, architecture, config, layers);
        let platform = json!({ "os": "linux", "architecture": architecture });
        let entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        self.registry.store_manifest(name, Some("1"), INDEX, index.to_string());
    }

    fn container(&self, name: &str) -> ContainerDefinitionBuilder {
        let image = format!("{}/{name}:1", self.server.host);
        ContainerDefinition::builder()
            .name("job")
            .image(image)
            .stop_timeout(2)
            .log_configuration(logs("group"))
    }

    /// The first task of a service that has stopped, and its log.
    async fn stopped(&self, service: &str) -> (Task, Vec<String>) {
        let task = self.cloud.task_in(service, "STOPPED").await;
        let id = task.task_arn().unwrap().rsplit('/').next().unwrap();
        let lines = self.cloud.seen.lock().unwrap().logs.get(&format!("jobs/job/{id}")).cloned();
        (task, lines.unwrap_or_default())
    }

    /// Runs one task of this container; what it is when it has stopped, and its log.
    async fn run(&self, container: ContainerDefinitionBuilder, volumes: &[&str]) -> (Task, Vec<String>) {
        let definition = self.cloud.register_together("images", "task", [container], volumes).await;
        self.cloud.service("job", &definition).send().await.unwrap();
        self.stopped("job").await
    }
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(encoder);
    for (name, mode, owner, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(*owner);
        header.set_gid(*owner);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name.trim_start_matches('/'), content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn file(name: &str, content: &str) -> Entry {
    (name.to_owned(), 0o644, 0, content.as_bytes().to_vec())
}

/// Programs of this machine with the libraries that they need, at the same places.
fn programs(names: &[&str]) -> Vec<Entry> {
    let mut files: BTreeSet<PathBuf> = BTreeSet::new();
    for name in names {
        files.insert(PathBuf::from(name));
        let listed = Command::new("ldd").arg(name).output().unwrap();
        let words = String::from_utf8(listed.stdout).unwrap();
        files.extend(words.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    files.iter().map(|file| (file.display().to_string(), 0o755, 0, std::fs::read(file).unwrap())).collect()
}

fn own() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn other() -> &'static str {
    if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" }
}

fn exit_code(task: &Task) -> Option<i32> {
    task.containers()[0].exit_code()
}

#[tokio::test]
async fn an_image_without_a_shell_runs_its_own_program_and_sees_nothing_of_this_machine() {
    for level in [None, Some(Level::OneUser)] {
        let Some(place) = Place::at(level).await else { return };
        let config =
            json!({ "Entrypoint": ["/bin/cat"], "Cmd": ["/etc/who", "/proc/1/comm", "/etc/hostname"] });
        place.index(
            "a/bare",
            own(),
            &config,
            &[programs(&["/bin/cat"]), vec![file("etc/who", "the image\n")]],
        );
        let (task, lines) = place.run(place.container("a/bare"), &[]).await;
        assert_eq!(exit_code(&task), Some(0), "{lines:?}");
        assert_eq!(lines[..2], ["the image", "cat"], "its program is the first process");
        assert!(lines[2].starts_with("ip-"), "{lines:?}");
        let hidden = place.container("a/bare").command(env!("CARGO_MANIFEST_DIR"));
        place.cloud.ecs.delete_service().cluster(CLUSTER).service("job").force(true).send().await.unwrap();
        let definition = place.cloud.register_together("hidden", "task", [hidden], &[]).await;
        place.cloud.service("hidden", &definition).send().await.unwrap();
        let task = place.cloud.task_in("hidden", "STOPPED").await;
        assert_eq!(exit_code(&task), Some(1), "there is no such file");
    }
}

#[tokio::test]
async fn layers_and_variables_of_an_image_are_its_containers_own() {
    let Some(place) = Place::at(None).await else { return };
    let upper = vec![file("app/.wh.old", ""), file("app/new", "new\n")];
    let lower = vec![
        file("app/old", "old\n"),
        file("app/run", "echo $GREETING $NAME $HOME; ls; cat new; pwd; exit 7\n"),
    ];
    let config = json!({
        "Entrypoint": ["/bin/sh"], "Cmd": ["run"], "WorkingDir": "/app",
        "Env": ["GREETING=hello", "NAME=image", "PATH=/bin"],
    });
    place.index("a/app", own(), &config, &[programs(&["/bin/sh", "/bin/ls", "/bin/cat"]), lower, upper]);
    let name = aws_sdk_ecs::types::KeyValuePair::builder().name("NAME").value("definition").build();
    for _ in 0..2 {
        let container = place.container("a/app").environment(name.clone());
        let definition = place.cloud.register_together("images", "task", [container], &[]).await;
        let service = format!("job-{}", definition.rsplit(':').next().unwrap());
        place.cloud.service(&service, &definition).send().await.unwrap();
        let (task, lines) = place.stopped(&service).await;
        assert_eq!(lines, ["hello definition /", "new", "run", "new", "/app"]);
        assert_eq!(exit_code(&task), Some(7));
    }
    let cached = std::fs::read_dir(&place.cloud.cache).unwrap().count();
    assert_eq!(cached, 1, "it is unpacked once, and no draft is left");
}

#[tokio::test]
async fn a_user_of_the_image_writes_to_volumes_alone_where_the_root_is_read_only() {
    let Some(place) = Place::at(None).await else { return };
    if place.cloud.level != Level::Users {
        say(&format!("NOT RUN, of users: {}", place.cloud.level));
        return;
    }
    let script = "id -u; id -g; touch /x 2>/dev/null || echo read-only; touch /data/y 2>/dev/null && echo written; cat /home/secret 2>/dev/null || echo denied; \
        if mkdir -m 700 /data/own 2>/dev/null; then touch /data/own/file && chown -R app /data/own; fi";
    let config =
        json!({ "Entrypoint": ["/bin/sh", "-c", script], "User": "app", "Env": ["PATH=/bin:/usr/bin"] });
    let passwd = file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home:/bin/sh\n");
    let secret = ("home/secret".to_owned(), 0o600, 0, b"root's\n".to_vec());
    let files = ["/bin/sh", "/usr/bin/id", "/bin/touch", "/bin/cat", "/bin/mkdir", "/bin/chown"];
    let files = [programs(&files), vec![passwd, secret]];
    place.index("a/user", own(), &config, &files);
    let mount = MountPoint::builder().source_volume("data").container_path("/data").build();
    let container = place.container("a/user").readonly_root_filesystem(true).mount_points(mount.clone());
    let (task, lines) = place.run(container, &["data"]).await;
    assert_eq!(exit_code(&task), Some(0));
    // A volume is root's, as on Fargate.
    assert_eq!(lines, ["1000", "1000", "read-only", "denied"]);

    let container = place.container("a/user").readonly_root_filesystem(true).mount_points(mount).user("0:0");
    let definition = place.cloud.register_together("root", "task", [container], &["data"]).await;
    place.cloud.service("root", &definition).send().await.unwrap();
    let (task, lines) = place.stopped("root").await;
    assert_eq!(lines, ["0", "0", "read-only", "written", "root's"]);
    assert_eq!(exit_code(&task), Some(0));
    let volumes = place.cloud.folder(&task).with_file_name(".volumes");
    eventually("the end of what belongs to the image's user", async || (!volumes.exists()).then_some(()))
        .await;
}

#[tokio::test]
async fn where_there_is_one_user_that_one_is_root_inside() {
    let Some(place) = Place::at(Some(Level::OneUser)).await else { return };
    let script =
        "id -u; echo $MAYFLY_ONE_USER; touch /x 2>/dev/null || echo read-only; touch /data/y && echo written";
    let config =
        json!({ "Entrypoint": ["/bin/sh", "-c", script], "User": "1000", "Env": ["PATH=/bin:/usr/bin"] });
    place.index("a/one", own(), &config, &[programs(&["/bin/sh", "/usr/bin/id", "/bin/touch"])]);
    let mount = MountPoint::builder().source_volume("data").container_path("/data").build();
    let container = place.container("a/one").readonly_root_filesystem(true).mount_points(mount);
    let (task, lines) = place.run(container, &["data"]).await;
    assert_eq!(
        (exit_code(&task), lines),
        (Some(0), ["0", "1", "read-only", "written"].map(str::to_owned).into())
    );
}

#[tokio::test]
async fn an_image_for_the_other_processor_is_not_pulled_or_does_not_run() {
    let Some(place) = Place::at(None).await else { return };
    let config = json!({ "Entrypoint": ["/program"] });
    place.index("a/index", other(), &config, &[vec![file("program", "")]]);
    let (task, _) = place.run(place.container("a/index"), &[]).await;
    let reason = task.stopped_reason().unwrap();
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    let platform = format!("descriptor matching platform 'linux/{}'", own());
    assert!(reason.contains(&platform), "{reason}");

    // One that is for one platform alone says so in its configuration, which nobody asks.
    let mut foreign = b"\x7fELF\x02\x01\x01".to_vec();
    foreign.resize(16, 0);
    // A processor for which no machine has an emulator.
    foreign.extend([2, 0, 0xff, 0xff, 1, 0, 0, 0]);
    foreign.resize(4096, 0);
    let program = ("program".to_owned(), 0o755, 0, foreign);
    place.store("a/alone", Some("1"), other(), &config, &[vec![program]]);
    let definition = place.cloud.register_together("alone", "task", [place.container("a/alone")], &[]).await;
    place.cloud.service("alone", &definition).send().await.unwrap();
    let (task, lines) = place.stopped("alone").await;
    assert!(lines[0].contains("exec /program: Exec format error"), "{lines:?}");
    assert_eq!(exit_code(&task), Some(1));
}

#[tokio::test]
async fn a_program_that_the_image_has_not_is_named() {
    let Some(place) = Place::at(None).await else { return };
    place.index("a/none", own(), &json!({ "Env": ["PATH=/bin"] }), &[vec![file("etc/x", "")]]);
    for (program, words) in [
        ("/bin/missing", "exec: \"/bin/missing\": stat /bin/missing: no such file or directory: unknown"),
        ("missing", "exec: \"missing\": executable file not found in $PATH: unknown"),
        ("/etc/x", "exec: \"/etc/x\": permission denied: unknown"),
    ] {
        let container = place.container("a/none").entry_point(program);
        let definition = place.cloud.register_together("none", "task", [container], &[]).await;
        let service = format!("job-{}", definition.rsplit(':').next().unwrap());
        place.cloud.service(&service, &definition).send().await.unwrap();
        let reason = place.cloud.task_in(&service, "STOPPED").await.stopped_reason.unwrap();
        assert!(reason.starts_with("CannotStartContainerError: ") && reason.ends_with(words), "{reason}");
    }
    let (task, _) = place.run(place.container("a/none"), &[]).await;
    assert!(task.stopped_reason().unwrap().contains("no command specified"));
}

#[tokio::test]
async fn an_init_process_reaps_and_ends_its_program_which_alone_would_ignore_sigterm() {
    let Some(place) = Place::at(None).await else { return };
    let config = json!({ "Entrypoint": ["/bin/sleep", "600"] });
    place.index("a/sleep", own(), &config, &[programs(&["/bin/sleep"])]);
    for (has_init, exit_code) in [(true, 143), (false, 137)] {
        let parameters = LinuxParameters::builder().init_process_enabled(has_init).build();
        let container = place.container("a/sleep").linux_parameters(parameters);
        let definition = place.cloud.register_together("sleep", "task", [container], &[]).await;
        let service = format!("job-{}", definition.rsplit(':').next().unwrap());
        place.cloud.service(&service, &definition).send().await.unwrap();
        place.cloud.task_in(&service, "RUNNING").await;
        let delete = place.cloud.ecs.delete_service().cluster(CLUSTER).service(&service).force(true);
        delete.send().await.unwrap();
        let stopped = place.cloud.task_in(&service, "STOPPED").await;
        assert_eq!(stopped.containers()[0].exit_code(), Some(exit_code), "with an init process: {has_init}");
    }
}

#[tokio::test]
async fn an_image_that_is_not_there_or_not_for_everybody_is_not_pulled() {
    let Some(place) = Place::at(None).await else { return };
    let reason = async |name: &str, container: ContainerDefinitionBuilder| {
        let definition = place.cloud.register_together(name, "task", [container], &[]).await;
        place.cloud.service(name, &definition).send().await.unwrap();
        place.cloud.task_in(name, "STOPPED").await.stopped_reason.unwrap()
    };
    let missing = reason("missing", place.container("a/missing")).await;
    assert!(missing.starts_with("CannotPullContainerError: pull image manifest"), "{missing}");
    place.registry.create_private("a/private");
    let denied = reason("private", place.container("a/private")).await;
    assert!(denied.contains("pull access denied"), "{denied}");
    let nowhere = place.container("a/x").image("127.0.0.1:1/a/x:1");
    let unreachable = reason("nowhere", nowhere).await;
    assert!(unreachable.contains("failed to do request: Head"), "{unreachable}");
}

#[tokio::test]
async fn a_private_image_is_pulled_with_its_credentials() {
    let Some(place) = Place::at(None).await else { return };
    place.registry.create_private("a/private");
    let config = json!({ "Entrypoint": ["/bin/cat", "/etc/who"] });
    place.index("a/private", own(), &config, &[programs(&["/bin/cat"]), vec![file("etc/who", "private\n")]]);
    let arn = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:registry-AbCdEf");
    let credentials = RepositoryCredentials::builder().credentials_parameter(arn).build().unwrap();
    let (task, lines) =
        place.run(place.container("a/private").repository_credentials(credentials), &[]).await;
    assert_eq!(lines, ["private"], "{:?}", task.stopped_reason());
}
