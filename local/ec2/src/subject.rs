//! Which resources and jobs a call is about, for the log of calls.

use std::collections::BTreeSet;

use crate::egress_only_gateways::EgressOnlyGateway;
use crate::elastic_ips::ElasticIp;
use crate::endpoints::Endpoint;
use crate::groups::Group;
use crate::internet_gateways::InternetGateway;
use crate::kinds::Kind;
use crate::nat_gateways::NatGateway;
use crate::parameters::Parameters;
use crate::route_tables::RouteTable;
use crate::subnets::Subnet;
use crate::tags::JOB;
use crate::vpcs::Vpc;
use crate::{Ec2, State};

impl Ec2 {
    /// The ids that a call names and the jobs that these, its tags or its filters are of, with spaces between them; `*`
    /// where there is nothing of that.
    pub(crate) fn subject(&self, parameters: &Parameters) -> String {
        let state = self.state();
        let mut words: BTreeSet<&str> = parameters.values_of(JOB).collect();
        for id in parameters.values() {
            if let Some(job) = state.job_of(id) {
                words.extend([id, job]);
            }
        }
        if words.is_empty() { "*".into() } else { words.into_iter().collect::<Vec<_>>().join(" ") }
    }
}

impl State {
    /// The job of the resource with the id.
    fn job_of(&self, id: &str) -> Option<&str> {
        fn of<'a, T: Kind>(state: &'a State, id: &str) -> Option<&'a str> {
            T::table(state).seen_by_anyone(id)?.tags().job()
        }
        let tables = [
            of::<EgressOnlyGateway>,
            of::<ElasticIp>,
            of::<Endpoint>,
            of::<Group>,
            of::<InternetGateway>,
            of::<NatGateway>,
            of::<RouteTable>,
            of::<Subnet>,
            of::<Vpc>,
        ];
        tables.into_iter().find_map(|job_in| job_in(self, id)).or_else(|| self.job_of_association(id))
    }
}
