//! What `--help` tells.

use crate::cloud::Cloud;

#[tokio::test]
async fn every_command_has_examples_and_its_exit_codes() {
    let cloud = Cloud::start().await;
    for command in
        ["run", "follow", "ls", "stop", "logs", "extend", "drain", "image", "image copy", "image push-worker"]
    {
        let arguments: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = cloud.mayfly(&arguments).await.out;
        assert!(help.contains("Examples:\n") && help.contains(&format!("\n  mayfly {command}")), "{help}");
        assert!(help.contains("\nExit code: "), "{help}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_2_and_calls_nobody() {
    let cloud = Cloud::start().await;
    cloud.has_no_stack();
    for wrong in [
        &["ls", "--limit", "0"][..],
        &["ls", "--limit", "101"],
        &["stop", "a/b"],
        &["logs"],
        &["extend", "demo"],
        &["image"],
        &["image", "copy", "nginx", "--platform", "amd64"],
        &["image", "push-worker", "--amd64", "worker"],
    ] {
        assert_eq!(cloud.mayfly(wrong).await.code, 2, "{wrong:?}");
    }
}
