//! Requests in and answers out: a signed form goes in, XML comes out.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use local_aws::auth::Caller;
use local_aws::server::Service;

use crate::Elb;
use crate::call::Call;
use crate::error::ApiError;
use crate::form::Form;
use crate::xml;

#[async_trait]
impl Service for Elb {
    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let mut form = Form::parse(request.body());
        // Before the call, which may delete what it names.
        let subject = self.subject(&form);
        let action = form.take("Action").unwrap_or_default();
        let request_id = self.upstream.random.uuid().to_string();

        let (caller, result) = self.run(&request, &action, form, &request_id).await;
        let outcome = result.as_ref().map_or_else(|error| error.code, |_| "OK");
        self.calls.record(&format!("elasticloadbalancing:{action}"), &caller, &subject, outcome);

        let (status, body) = match result {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => (error.status(), xml::error_document(&error, &request_id)),
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "text/xml")
            .header("x-amzn-requestid", request_id)
            .body(body.into())
            .expect("the headers are valid")
    }

    /// Closes all listeners and ends all health checks.
    async fn stop(&self) {
        self.stop.cancel();
        self.background.close();
        self.background.wait().await;
    }
}

impl Elb {
    /// The caller's ARN, or nothing for one who cannot be authenticated, and the answer.
    async fn run(
        &self,
        request: &Request<Bytes>,
        action: &str,
        form: Form,
        request_id: &str,
    ) -> (String, Result<String, ApiError>) {
        match self.guard.authenticate("elasticloadbalancing", request).await {
            Ok(caller) => {
                let result = self.dispatch(&caller, action, form, request_id).await;
                (caller.arn, result)
            }
            Err(refusal) => (String::new(), Err(refusal.into())),
        }
    }

    async fn dispatch(
        &self,
        caller: &Caller,
        action: &str,
        mut form: Form,
        request_id: &str,
    ) -> Result<String, ApiError> {
        let version = form.take("Version").unwrap_or_default();
        if version != "2015-12-01" {
            return Err(unknown(action, &version));
        }
        self.limits.take(action, self.upstream.clock.instant())?;
        let call = Call { guard: &self.guard, caller, action, request_id, form };
        match action {
            "CreateListener" => self.create_listener(call).await,
            "CreateLoadBalancer" => self.create_load_balancer(call).await,
            "CreateTargetGroup" => self.create_target_group(call).await,
            "DeleteLoadBalancer" => self.delete_load_balancer(call).await,
            "DeleteTargetGroup" => self.delete_target_group(call).await,
            "DescribeLoadBalancers" => self.describe_load_balancers(call).await,
            "DescribeTags" => self.describe_tags(call).await,
            "DescribeTargetGroups" => self.describe_target_groups(call).await,
            "DescribeTargetHealth" => self.describe_target_health(call).await,
            "ModifyLoadBalancerAttributes" => self.modify_load_balancer_attributes(call).await,
            "ModifyTargetGroupAttributes" => self.modify_target_group_attributes(call).await,
            _ => Err(unknown(action, &version)),
        }
    }
}

fn unknown(action: &str, version: &str) -> ApiError {
    ApiError::new("InvalidAction", format!("Could not find operation {action} for version {version}"))
}
