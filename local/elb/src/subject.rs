//! Which resources and jobs a call is about, for the log of calls.

use std::collections::BTreeSet;

use crate::form::Form;
use crate::{Elb, State};

impl Elb {
    /// The ARNs that a call names and the jobs that these or its tags are of, with spaces between them; `*` where there is
    /// nothing of that.
    pub(crate) fn subject(&self, form: &Form) -> String {
        let state = self.state();
        let mut form_tags = form.clone();
        let mut words = BTreeSet::new();
        for mut tag in form_tags.take_structures("Tags") {
            if tag.take("Key").as_deref() == Some("mayfly:job") {
                words.extend(tag.take("Value"));
            }
        }
        for arn in form.values() {
            if let Some(job) = state.job_of(arn) {
                words.extend([arn.to_owned(), job.to_owned()]);
            }
        }
        if words.is_empty() { "*".into() } else { words.into_iter().collect::<Vec<_>>().join(" ") }
    }
}

impl State {
    fn job_of(&self, arn: &str) -> Option<&str> {
        let load_balancer = self.load_balancers.get(arn).map(|found| &found.tags);
        let group = || self.target_groups.get(arn).map(|found| &found.tags);
        let listener = || self.listeners.get(arn).map(|found| &found.tags);
        load_balancer.or_else(group).or_else(listener)?.job()
    }
}
