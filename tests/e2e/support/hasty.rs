//! A second stack that is in a hurry: it notices silence early, and its signed URLs expire within seconds. It is in zones
//! of its own.

use std::time::Duration;

use anyhow::{Context, Result};
use local_ecs::{Fault, Rule};
use tokio::sync::OnceCell;

use crate::support::world::{World, repository};

/// Its name.
pub const HASTY: &str = "mayfly-hasty";
/// The letters of its zones.
pub const ZONES: [&str; 2] = ["c", "a"];
/// How long its URLs are good for, in real time.
pub const URL_LIFETIME: Duration = Duration::from_secs(4);
/// What the secret holds that its jobs may name.
pub const SECRET: &str = "Kolibri-7b3f-nobody-may-read-this";

/// The ARN of the secret.
static DEPLOYED: OnceCell<String> = OnceCell::const_new();

/// Deploys the stack, unless that has been done, and tells the ARN of its secret.
pub async fn deployed(world: &World) -> Result<&'static str> {
    let deploy = || async {
        let secrets = aws_sdk_secretsmanager::Client::new(&world.cloud().sdk_config());
        let secret = secrets.create_secret().name(HASTY).secret_string(SECRET).send().await?;
        let secret = secret.arn.context("a secret has an ARN")?;
        let parameters = [
            format!("SecretArns={secret}"),
            format!("SignedUrlSeconds={}", URL_LIFETIME.as_secs()),
            "HeartbeatSeconds=130".to_owned(),
            "ReportEverySeconds=1".to_owned(),
            format!("FirstZone={}", ZONES[0]),
            format!("SecondZone={}", ZONES[1]),
        ];
        let parameters = parameters.each_ref().map(String::as_str);
        world.cloud().deploy(repository(), HASTY, &parameters).await?;
        anyhow::Ok(secret)
    };
    Ok(DEPLOYED.get_or_try_init(deploy).await?)
}

/// So long that the URLs of the first order have expired when the container comes.
pub fn no_room_yet() -> [Rule; 1] {
    [Rule { tasks: 2, ..Rule::once(Fault::NoCapacity) }]
}
