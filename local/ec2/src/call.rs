//! One call that is being answered.

use local_aws::auth::{Caller, Code, Context, Guard, Refusal};

use crate::error::Ec2Error;
use crate::parameters::Parameters;

/// A call by someone whose signature has been checked.
#[derive(Debug)]
pub struct Call<'a> {
    pub guard: &'a Guard,
    pub caller: &'a Caller,
    /// `DescribeSubnets`.
    pub action: &'a str,
    pub request_id: &'a str,
    /// What no one has taken yet.
    pub parameters: Parameters,
}

impl Call<'_> {
    /// Lets the call pass if it has no parameter left, the caller may do it, and it is no dry run. Describe actions
    /// have no resource-level rights (Service Authorization Reference, "Actions defined by Amazon EC2").
    pub async fn describe(&mut self) -> Result<(), Ec2Error> {
        let dry_run = self.parameters.take_bool("DryRun")?;
        std::mem::take(&mut self.parameters).finish()?;
        let action = format!("ec2:{}", self.action);
        self.guard.authorize(self.caller, &action, "*", &Context::new()).await?;
        if dry_run {
            let message = "Request would have succeeded, but DryRun flag is set.";
            return Err(Ec2Error::new("DryRunOperation", message));
        }
        Ok(())
    }
}

impl From<Refusal> for Ec2Error {
    fn from(refusal: Refusal) -> Self {
        let (code, sentence) = match refusal.code {
            Code::InvalidSignature | Code::UnknownKey => {
                ("AuthFailure", "AWS was not able to validate the provided access credentials:")
            }
            Code::AccessDenied => {
                ("UnauthorizedOperation", "You are not authorized to perform this operation.")
            }
        };
        Self::new(code, format!("{sentence} {}", refusal.message))
    }
}
