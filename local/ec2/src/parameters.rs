//! The parameters of EC2's query protocol: form fields whose names carry lists and structures (`Filter.1.Value.2`).

use std::collections::BTreeMap;

use local_aws::glob::Glob;

use crate::error::Ec2Error;

/// The fields of one request that nobody has asked for yet; what is left at the end is unknown.
#[derive(Debug, Default)]
pub struct Parameters(BTreeMap<String, String>);

/// A filter: its name, and the values of which one has to fit.
#[derive(Debug)]
pub struct Filter {
    pub name: String,
    /// `*` and `?` are wildcards (EC2 user guide, "List and filter using the CLI and API").
    pub values: Vec<Glob>,
}

impl Parameters {
    pub fn parse(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub fn take_bool(&mut self, name: &str) -> Result<bool, Ec2Error> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Ec2Error::invalid_value(name, other, "It must be true or false.")),
        }
    }

    /// The list `name.1`, `name.2`, … in the order of its numbers.
    pub fn take_list(&mut self, name: &str) -> Vec<String> {
        let mut items: Vec<(u32, String)> = Vec::new();
        self.0.retain(|key, value| {
            let number = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')?.parse().ok());
            items.extend(number.map(|number| (number, std::mem::take(value))));
            number.is_none()
        });
        items.sort_by_key(|(number, _)| *number);
        items.into_iter().map(|(_, value)| value).collect()
    }

    /// The list `Filter.1.Name`, `Filter.1.Value.1`, ….
    pub fn take_filters(&mut self) -> Vec<Filter> {
        let number = |key: &String| key.strip_prefix("Filter.")?.strip_suffix(".Name")?.parse::<u32>().ok();
        let numbers: Vec<u32> = self.0.keys().filter_map(number).collect();
        let filter = |number| {
            let name = self.take(&format!("Filter.{number}.Name")).unwrap_or_default();
            let values = self.take_list(&format!("Filter.{number}.Value"));
            Filter { name, values: values.iter().map(|value| Glob::new(value)).collect() }
        };
        numbers.into_iter().map(filter).collect()
    }

    /// Refuses what no one has taken: also what EC2 knows and this stand-in does not, so that nothing is ignored.
    pub fn finish(self) -> Result<(), Ec2Error> {
        match self.0.into_keys().next() {
            Some(name) => Err(Ec2Error::unknown_parameter(&name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_filters_are_read_and_the_rest_is_unknown() {
        let mut parameters = Parameters::parse(
            b"SubnetId.2=b&SubnetId.10=c&SubnetId.1=a&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1%2A&DryRun=true&X.1=y",
        );
        assert_eq!(parameters.take_list("SubnetId"), ["a", "b", "c"]);
        let filters = parameters.take_filters();
        assert_eq!(filters[0].name, "vpc-id");
        assert!(filters[0].values[0].matches("vpc-123"));
        assert_eq!(parameters.take_bool("DryRun"), Ok(true));
        let error = parameters.finish().expect_err("X is unknown");
        assert_eq!(error.to_string(), "UnknownParameter: The parameter X.1 is not recognized");
    }

    #[test]
    fn a_boolean_is_true_or_false() {
        let error = Parameters::parse(b"DryRun=yes").take_bool("DryRun").expect_err("yes is no boolean");
        assert_eq!(error.code, "InvalidParameterValue");
        assert!(error.message.contains("yes") && error.message.contains("DryRun"));
    }
}
