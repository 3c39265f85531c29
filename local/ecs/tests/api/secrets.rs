//! The secrets that a container is given.

use aws_sdk_ecs::types::{AwsVpcConfiguration, NetworkConfiguration, Secret};

use crate::cloud::{ACCOUNT, Cloud, REGION};

/// What the reasons begin with.
const UNABLE: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval \
                      failed: unable to retrieve secrets from ssm: service call has been retried";

/// A definition with secrets, by the variables' names: parameters by their paths, and secrets of Secrets Manager.
async fn register(cloud: &Cloud, image: &str, parameters: &[(&str, &str)]) -> String {
    let secret = |&(name, path): &(&str, &str)| {
        let arn = match path.strip_prefix("secret:") {
            Some(secret) => format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{secret}"),
            None => format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{path}"),
        };
        Secret::builder().name(name).value_from(arn).build().unwrap()
    };
    let secrets = Some(parameters.iter().map(secret).collect());
    cloud.register_changed(image, "group", "task", |container| container.set_secrets(secrets)).await
}

#[tokio::test]
async fn parameters_are_variables_however_many_and_however_often_one_is_named() {
    let cloud = Cloud::start().await;
    let named: Vec<_> =
        (1..=11).map(|number| (format!("KEY_{number}"), format!("api/key-{number}"))).collect();
    let named = named.iter().map(|(name, path)| (name.as_str(), path.as_str()));
    let named: Vec<_> = named.chain([("FIRST", "key"), ("SECOND", "key")]).collect();
    let definition = register(&cloud, "env", &named).await;
    cloud.service("job", &definition).send().await.unwrap();
    let task = cloud.task_in("job", "RUNNING").await;
    let lines = cloud.told(&task).await;
    for (name, path) in named {
        let name_of_parameter = if path.contains('/') { format!("/{path}") } else { path.to_owned() };
        assert!(lines.contains(&format!("{name}=value of {name_of_parameter}")), "{name}: {lines:#?}");
    }
}

#[tokio::test]
async fn a_parameter_that_cannot_be_read_says_why() {
    let cloud = Cloud::start().await;
    let denied = "1 time(s): AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/execution/test is not \
                  authorized to perform: ssm:GetParameters on resource: \
                  arn:aws:ssm:eu-west-1:111122223333:parameter/else/key because no identity-based policy allows the \
                  ssm:GetParameters action";
    for (path, why) in [("else/key", denied), ("gone/key", "1 time(s): invalid ssm parameters: /gone/key")] {
        let name = path.replace('/', "-");
        let definition = register(&cloud, "sleep", &[("KEY", path)]).await;
        cloud.service(&name, &definition).send().await.unwrap();
        let stopped = cloud.task_in(&name, "STOPPED").await;
        assert_eq!(stopped.stopped_reason(), Some(format!("{UNABLE} {why}").as_str()));
    }
}

#[tokio::test]
async fn a_task_without_a_way_to_parameter_store_says_so() {
    let cloud = Cloud::start().await;
    let secret = Secret::builder().name("KEY");
    let secret = secret.value_from(format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/key")).build().unwrap();
    let change = |container: aws_sdk_ecs::types::builders::ContainerDefinitionBuilder| {
        container.image("docker.io/team/sleep:1").set_secrets(Some(vec![secret]))
    };
    let definition = cloud.register_changed("sleep", "group", "task", change).await;
    // Without a public address nothing leads out of the subnet.
    let network = AwsVpcConfiguration::builder().subnets("subnet-1").security_groups("sg-1").build().unwrap();
    let network = NetworkConfiguration::builder().awsvpc_configuration(network).build();
    cloud.service("job", &definition).network_configuration(network).send().await.unwrap();
    let stopped = cloud.task_in("job", "STOPPED").await;
    let why = format!(
        "{UNABLE} 5 time(s): RequestCanceled: request context canceled caused by: context deadline exceeded. Please check \
         your task network configuration."
    );
    assert_eq!(stopped.stopped_reason(), Some(why.as_str()));
}

/// The condition of the role's right has to hold as well: the service decrypts in its name.
#[tokio::test]
async fn what_a_customers_key_encrypts_takes_the_right_to_decrypt() {
    let cloud = Cloud::start().await;
    let open = [("FIRST", "secret:open-key-AbCdEf"), ("SECOND", "api/open-key")];
    let definition = register(&cloud, "sleep", &open).await;
    cloud.service("open", &definition).send().await.unwrap();
    cloud.task_in("open", "RUNNING").await;

    let failed = UNABLE.rsplit_once(": unable").unwrap().0;
    let secret = "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret \
                  arn:aws:secretsmanager:eu-west-1:111122223333:secret:shut-key-AbCdEf from secrets manager: \
                  AccessDeniedException: Access to KMS is not allowed";
    let parameter = "unable to retrieve secrets from ssm: service call has been retried 1 time(s): AccessDeniedException: \
                     The ciphertext refers to a customer master key that does not exist, does not exist in this region, or \
                     you are not allowed to access.";
    for (name, path, why) in
        [("secret", "secret:shut-key-AbCdEf", secret), ("parameter", "api/shut-key", parameter)]
    {
        let definition = register(&cloud, "sleep", &[("KEY", path)]).await;
        cloud.service(name, &definition).send().await.unwrap();
        let stopped = cloud.task_in(name, "STOPPED").await;
        assert_eq!(stopped.stopped_reason(), Some(format!("{failed}: {why}").as_str()));
    }
}
