//! Deploys the template, as it stands, with the real SAM CLI.
//!
//! SAM uploads what `CodeUri` names. In a staged copy of the repository's layout that is a package of the function's
//! program instead of the folder of its source, so the template needs no change and no second build.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::task::JoinSet;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::{Cloud, images};

const ARTIFACTS: &str = "mayfly-artifacts";
/// The template's own default of ReportGraceSeconds, which MiniStack's queues would take in real time.
const REPORT_GRACE: Duration = Duration::from_mins(1);

/// The bucket that the demonstration's and the tests' jobs read and write.
pub const DATA_BUCKET: &str = "mayfly-data";
/// What the certificate is for that services may name.
pub const HOST: &str = "service.example.org";
/// The secret that those jobs may name, and the parameter of Parameter Store, unless a stack is given others.
pub const SECRET: &str = "mayfly-sample";

impl Cloud {
    /// Deploys the repository's stack under `stack`, with `parameters` besides the data bucket, a secret, and the networks
    /// that jobs may name: any.
    ///
    /// # Errors
    /// With the SAM CLI's own words.
    pub async fn deploy(&self, repository: &Path, stack: &str, parameters: &[&str]) -> Result<()> {
        let stage = self.stage(repository, stack).await?;
        // MiniStack's CloudFormation and Lambda read what SAM uploads from MiniStack's own S3.
        let ministack = self.upstream().ministack.as_str();
        for (s3, bucket) in [(self.s3_at(ministack), ARTIFACTS), (self.s3(), DATA_BUCKET)] {
            let location = aws_sdk_s3::types::CreateBucketConfiguration::builder()
                .location_constraint(crate::REGION.into())
                .build();
            let created =
                s3.create_bucket().bucket(bucket).create_bucket_configuration(location).send().await;
            match created {
                Ok(_) => {}
                Err(error)
                    if error.as_service_error().is_some_and(|e| e.is_bucket_already_owned_by_you()) => {}
                Err(error) => return Err(error).context(format!("could not create the bucket {bucket}")),
            }
        }
        let (secret, parameter) = (self.secret().await?, self.parameter().await?);
        let has_secrets = parameters.iter().any(|parameter| parameter.starts_with("SecretArns="));
        let secrets = (!has_secrets).then(|| format!("SecretArns={secret},{parameter}"));
        let output = Command::new(self.options().tools.join("sam"))
            .args(["deploy", "--template-file", "template.yaml", "--stack-name", stack])
            .args(["--s3-bucket", ARTIFACTS, "--capabilities", "CAPABILITY_IAM"])
            .args(["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"])
            .arg("--parameter-overrides")
            .arg(format!("DataBuckets={DATA_BUCKET}"))
            .args(["ExistingSubnets=*", "ExistingSecurityGroups=*"])
            .arg(format!("ReportGraceSeconds={}", self.options().clock.scale.real(REPORT_GRACE).as_secs()))
            .args(secrets)
            .args(parameters)
            .current_dir(&stage)
            .envs(self.environment())
            .env("AWS_ENDPOINT_URL_S3", ministack)
            .env("SAM_CLI_TELEMETRY", "0")
            .env("SAM_CLI_POLL_DELAY", "1")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("could not start {}/sam", self.options().tools.display()))?;
        ensure!(
            output.status.success(),
            "sam deploy failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let repository = self.physical_id(stack, "Repository").await?;
        self.publish(&repository)
    }

    /// Puts the images of a stack's own repository into the one called `repository`, which is made where it is not there.
    ///
    /// # Errors
    /// When the registry's folder cannot be written.
    pub fn publish(&self, repository: &str) -> Result<()> {
        Ok(images::publish(&self.registry, repository)?)
    }

    /// What CloudFormation has made as `resource` of the stack.
    ///
    /// # Errors
    /// When the stack has no such resource, or is not there.
    pub async fn physical_id(&self, stack: &str, resource: &str) -> Result<String> {
        let cloudformation = aws_sdk_cloudformation::Client::new(&self.sdk_config());
        let asked = cloudformation.describe_stack_resource().stack_name(stack).logical_resource_id(resource);
        let detail = asked.send().await?.stack_resource_detail;
        let id = detail.and_then(|detail| detail.physical_resource_id);
        id.with_context(|| format!("the stack {stack} has no {resource}"))
    }

    /// The ARN of the sample's secret, which is made where it is not there.
    async fn secret(&self) -> Result<String> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.sdk_config());
        let found = match secrets.create_secret().name(SECRET).secret_string("open sesame").send().await {
            Ok(created) => created.arn,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_exists_exception()) => {
                secrets.describe_secret().secret_id(SECRET).send().await?.arn
            }
            Err(error) => return Err(error).context(format!("could not create the secret {SECRET}")),
        };
        found.context("a secret has an ARN")
    }

    /// The ARN of the sample's parameter, which is made where it is not there.
    async fn parameter(&self) -> Result<String> {
        let parameters = aws_sdk_ssm::Client::new(&self.sdk_config());
        let put = parameters.put_parameter().name(SECRET).value("open sesame");
        match put.r#type(aws_sdk_ssm::types::ParameterType::SecureString).send().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(|e| e.is_parameter_already_exists()) => {}
            Err(error) => return Err(error).context(format!("could not make the parameter {SECRET}")),
        }
        let found = parameters.get_parameter().name(SECRET).send().await?;
        found.parameter.and_then(|parameter| parameter.arn).context("a parameter has an ARN")
    }

    /// The ARN of a new certificate for [`HOST`], which is issued at once here.
    ///
    /// # Errors
    /// When Certificate Manager does not answer.
    pub async fn certificate(&self) -> Result<String> {
        let requested = self.acm().request_certificate().domain_name(HOST).send().await?;
        requested.certificate_arn.context("a certificate has an ARN")
    }

    /// A client for Certificate Manager.
    pub fn acm(&self) -> aws_sdk_acm::Client {
        aws_sdk_acm::Client::new(&self.sdk_config())
    }

    /// The text of a job document, with the stack's own network in place of `${SUBNET}` and `${SECURITY_GROUP}`, a secret in
    /// that of `${SECRET_ARN}`, a parameter of Parameter Store in that of `${PARAMETER_ARN}`, and a certificate for [`HOST`] in
    /// that of `${CERTIFICATE_ARN}`.
    ///
    /// # Errors
    /// When the stack is not there.
    pub async fn fill_in(&self, document: &str, stack: &str) -> Result<String> {
        let mut filled = document.replace("${SECRET_ARN}", &self.secret().await?);
        filled = filled.replace("${PARAMETER_ARN}", &self.parameter().await?);
        if filled.contains("${CERTIFICATE_ARN}") {
            filled = filled.replace("${CERTIFICATE_ARN}", &self.certificate().await?);
        }
        for (name, resource) in
            [("${SUBNET}", "FirstPublicSubnet"), ("${SECURITY_GROUP}", "TaskSecurityGroup")]
        {
            filled = filled.replace(name, &self.physical_id(stack, resource).await?);
        }
        Ok(filled)
    }

    /// A client for S3, which has no host name per bucket here.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.s3_at(&self.upstream().s3)
    }

    fn s3_at(&self, origin: &str) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk_config());
        aws_sdk_s3::Client::from_conf(config.endpoint_url(origin).force_path_style(true).build())
    }

    async fn stage(&self, repository: &Path, stack: &str) -> Result<PathBuf> {
        let stage = self.folder().join("stage").join(stack);
        std::fs::create_dir_all(stage.join("statemachine"))?;
        std::fs::copy(repository.join("template.yaml"), stage.join("template.yaml"))?;
        for machine in std::fs::read_dir(repository.join("statemachine"))? {
            let machine = machine?;
            std::fs::copy(machine.path(), stage.join("statemachine").join(machine.file_name()))?;
        }
        let (packages, functions) = (self.folder().join("packages"), stage.join("functions"));
        std::fs::create_dir_all(&packages)?;
        std::fs::create_dir_all(&functions)?;
        let mut packing = JoinSet::new();
        for function in std::fs::read_dir(repository.join("functions"))? {
            let name = function?.file_name();
            let (program, package) = (self.options().programs.join(&name), packages.join(&name));
            let staged = functions.join(&name);
            packing.spawn_blocking(move || {
                // Another stack has the same package.
                if !package.exists() {
                    pack(&program, &package).with_context(|| {
                        format!("could not pack {}; `make run` builds it", program.display())
                    })?;
                }
                Ok(std::fs::hard_link(&package, &staged)?)
            });
        }
        packing.join_all().await.into_iter().collect::<Result<()>>()?;
        Ok(stage)
    }
}

/// Writes what Lambda takes. SAM would pack as well, but one program after the other and as small as can be, for each
/// stack anew.
fn pack(program: &Path, package: &Path) -> Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(1))
        .unix_permissions(0o755);
    let mut source = File::open(program)?;
    let mut archive = ZipWriter::new(NamedTempFile::new_in(package.parent().unwrap_or(package))?);
    archive.start_file("bootstrap", options)?;
    io::copy(&mut source, &mut archive)?;
    archive.finish()?.persist(package)?;
    Ok(())
}
