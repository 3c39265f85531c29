//! The job's own command against the worker: what it can reach of it, and what it can make it do.

use std::fs;

use mayfly_model::class::Class;
use mayfly_model::message::{Assignment, Download, FileSize, Order};
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use crate::cloud::{Cloud, KEYS, NONCE, Queues, assignment};

/// Prints BREACH for each thing that a hostile command tries with success.
const ATTACK: &str = include_str!("attack.sh");
/// What a person has who is not root; nobody has this number.
const PLAIN_USER: u32 = 12_345;

/// Workers in every situation that this test can make: as its own user, and where that is root, as another one, and with a
/// command that is root too.
async fn workers() -> Vec<(Cloud, Separation)> {
    let own = if geteuid().is_root() { Separation::Other } else { Separation::Same };
    let mut workers = vec![(Cloud::start().await, own)];
    if geteuid().is_root() {
        let cloud = Cloud::start_as(Some(PLAIN_USER), Queues::start().await);
        workers.push((cloud, Separation::Same));
        workers.push((Cloud::start_in(&[("MAYFLY_USER", "0:0")]).await, Separation::Root));
    }
    workers
}

/// The open files that whoever runs the tests passes on to every program below, by number.
fn given_files() -> String {
    let is_inherited = |number: &String| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("02000000");
        i32::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & OFlag::O_CLOEXEC.bits() == 0)
    };
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let numbers = open.map(|file| file.unwrap().file_name().into_string().unwrap());
    numbers.filter(is_inherited).collect::<Vec<_>>().join(" ")
}

/// Whether the command's user is the worker's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Separation {
    Same,
    Other,
    /// Both are root, and the command may do less.
    Root,
}

#[tokio::test]
async fn a_command_reaches_nothing_of_the_workers() {
    for (mut cloud, separation) in workers().await {
        cloud.queues.state.objects.lock().unwrap().insert("/in".to_owned(), b"the input\n".to_vec());
        let url = cloud.place("in?X-Amz-Signature=good");
        // In two parts, so that the command does not find it on its own command line.
        let (part, rest) = cloud.unguessable.split_at(4);
        let kind = match separation {
            Separation::Same => "same",
            Separation::Other => "other",
            Separation::Root => "root",
        };
        let given = given_files();
        let command = ["sh", "-c", ATTACK, "attack", kind, part, rest, &given].map(str::to_owned).into();
        let inputs = vec![Download { file: "deep/in.txt".to_owned(), url }];
        cloud.order(&Order::Run(Assignment { command, inputs, ..assignment(1, "") }));
        let (_, finished) = cloud.finished().await;
        assert_eq!((finished.failure, finished.exit_code), (None, Some(0)));
        cloud.terminate();
        let unguessable = cloud.unguessable.clone();
        let (_, log) = cloud.ended().await;
        assert!(!log.contains("BREACH"), "{separation:?}: {log}");
        for line in ["the input\nand more\n", "to stdout\n", "to stderr\n", "the attack is over\n"] {
            assert!(log.contains(line), "{separation:?}: {line} is missing in {log}");
        }
        for secret in KEYS.into_iter().chain([NONCE, &unguessable]) {
            assert!(!log.contains(secret), "{separation:?}: {secret} is in {log}");
        }
    }
}

#[tokio::test]
async fn what_is_not_the_commands_is_not_uploaded_for_it() {
    for (mut cloud, separation) in workers().await {
        let traps = [
            "ln -s ../../kept out",
            "ln -s $PWD/../../kept out",
            "ln -s /proc/$PPID/environ out",
            "ln -s /etc/passwd out",
            "ln -s /proc/$$/fd/1 out",
            "mkfifo out",
            "mkdir out",
        ];
        for (start, trap) in (1..).zip(traps) {
            cloud.order(&Order::Run(Assignment {
                outputs: vec!["out".to_owned()],
                ..assignment(start, trap)
            }));
            let failure = cloud.finished().await.1.failure.unwrap();
            assert_eq!(failure.class, Class::UploadFailed, "{separation:?}: {trap}");
        }
    }
}

/// Carries out a job that is to upload `output`, and tells what has arrived.
async fn upload(cloud: &mut Cloud, start: u32, output: &str, script: &str) -> Vec<u8> {
    let job = Assignment { outputs: vec![output.to_owned()], ..assignment(start, script) };
    cloud.order(&Order::Run(job));
    cloud.sign_upload(start, output, "bucket", &[("key", "out")]).await;
    assert_eq!(cloud.finished().await.1.failure, None);
    cloud.queues.state.objects.lock().unwrap().remove("/bucket").unwrap()
}

#[tokio::test]
async fn a_link_to_a_file_of_the_working_folder_is_uploaded_as_that_file() {
    for (mut cloud, _) in workers().await {
        let links = ["ln -s $PWD/work/x out.txt", "ln -s work/x out.txt", "ln -s ../work/work/x out.txt"];
        for (start, link) in (1..).zip(links) {
            let script = format!("mkdir work; echo one >work/x; {link}");
            let form = upload(&mut cloud, start, "out.txt", &script).await;
            assert!(String::from_utf8_lossy(&form).contains("\r\n\r\none\n\r\n"), "{link}");
        }
    }
}

#[tokio::test]
async fn the_folders_of_outputs_are_there_and_are_the_commands() {
    for (mut cloud, _) in workers().await {
        let script = "[ -O renditions ] && [ -O renditions/360p ] && echo one >renditions/360p/out.mp4";
        upload(&mut cloud, 1, "renditions/360p/out.mp4", script).await;
    }
}

#[tokio::test]
async fn what_only_the_command_may_read_is_uploaded() {
    for (mut cloud, _) in workers().await {
        let job = Assignment {
            outputs: vec!["deep/out".to_owned()],
            ..assignment(1, "umask 377; echo mine >out; umask 077; mkdir deep; mv out deep")
        };
        cloud.order(&Order::Run(job));
        cloud.sign_upload(1, "deep/out", "bucket", &[("key", "out")]).await;
        let (_, finished) = cloud.finished().await;
        assert_eq!(finished.failure, None);
        assert_eq!(finished.outputs, [FileSize { file: "deep/out".to_owned(), bytes: 5 }]);
    }
}
