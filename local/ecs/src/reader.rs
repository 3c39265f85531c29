//! In whose name a container's secrets are read, and what that role may read.

use aws_config::SdkConfig;
use local_aws::auth::{Guard, Refusal};
use local_aws::policy::Context;
use local_aws::upstream::{Session, Upstream};

/// A session of the execution role, and who knows what it may do.
pub(crate) struct Reader<'a> {
    pub(crate) guard: &'a Guard,
    pub(crate) upstream: &'a Upstream,
    pub(crate) role: &'a Session,
}

impl Reader<'_> {
    /// What the role calls with.
    pub(crate) fn role_config(&self) -> SdkConfig {
        self.upstream.session_config(self.role)
    }

    /// What is asked by nobody in particular.
    pub(crate) fn root_config(&self) -> SdkConfig {
        self.upstream.root_config()
    }

    /// Whether the role may do `action` on `resource`.
    pub(crate) async fn may(&self, action: &str, resource: &str, context: &Context) -> Result<(), Refusal> {
        self.guard.authorize(&self.role.into(), action, resource, context).await
    }

    /// Whether the role may decrypt what `service` has encrypted with `key` (an ARN, an id or an alias), which the service does
    /// in the role's name: KMS developer guide, "Condition keys for AWS KMS", `kms:ViaService`. The keys that AWS manages let
    /// everybody in the account ("AWS managed keys" there); MiniStack lets everybody use all others too.
    pub(crate) async fn may_decrypt(&self, key: Option<&str>, service: &str) -> bool {
        let Upstream { region, account, .. } = self.upstream;
        let arn = match key {
            None => return true,
            Some(alias) if alias.starts_with("alias/aws/") => return true,
            Some(alias) if alias.contains("alias/") => {
                tracing::error!(alias, "the local cloud does not know which key that is: say its ARN");
                return false;
            }
            Some(arn) if arn.starts_with("arn:") => arn.to_owned(),
            Some(id) => format!("arn:aws:kms:{region}:{account}:key/{id}"),
        };
        let via = vec![format!("{service}.{region}.amazonaws.com")];
        let refused =
            self.may("kms:Decrypt", &arn, &Context::from([("kms:ViaService".to_owned(), via)])).await;
        refused.inspect_err(|refusal| tracing::info!(%refusal, "a secret could not be decrypted")).is_ok()
    }
}
