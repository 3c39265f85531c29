//! The parameters of EC2's query protocol: form fields whose names carry lists and structures (`Filter.1.Value.2`).

use std::collections::BTreeMap;

use local_aws::glob::Glob;

use crate::error::ApiError;

/// The fields of one request, or of one structure in it, that nobody has asked for yet; what is left at the end is
/// unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// What the names of a structure's fields begin with in the request, `Filter.1.`.
    prefix: String,
    fields: BTreeMap<String, String>,
}

/// A filter: its name, and the values of which one has to fit.
#[derive(Debug)]
pub struct Filter {
    pub name: String,
    /// `*` and `?` are wildcards (EC2 user guide, "List and filter using the CLI and API").
    pub values: Vec<Glob>,
}

impl Parameters {
    pub fn parse(body: &[u8]) -> Self {
        let fields = url::form_urlencoded::parse(body).into_owned().collect();
        Self { prefix: String::new(), fields }
    }

    /// Whether a field begins so.
    pub fn has(&self, start: &str) -> bool {
        self.fields.keys().any(|name| name.starts_with(start))
    }

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.fields.values().map(String::as_str)
    }

    /// The values of the tag `key`, in tag specifications and in filters.
    pub fn values_of(&self, key: &str) -> impl Iterator<Item = &str> {
        let named =
            self.fields.iter().filter(move |(_, name)| name.strip_prefix("tag:").unwrap_or(name) == key);
        let starts = named.filter_map(|(field, _)| Some(format!("{}.Value", field.rsplit_once('.')?.0)));
        starts.flat_map(|start| {
            self.fields
                .iter()
                .filter(move |(field, _)| field.starts_with(&start))
                .map(|(_, value)| value.as_str())
        })
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.fields.remove(name)
    }

    pub fn require(&mut self, name: &str) -> Result<String, ApiError> {
        self.take(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            let message = format!("The request must contain the parameter {}{name}", self.prefix);
            ApiError::new("MissingParameter", message)
        })
    }

    pub fn take_bool(&mut self, name: &str) -> Result<bool, ApiError> {
        Ok(self.take_optional_bool(name)?.unwrap_or(false))
    }

    pub fn take_optional_bool(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("false") => Ok(Some(false)),
            Some("true") => Ok(Some(true)),
            Some(other) => Err(ApiError::invalid_value(name, other, "It must be true or false.")),
        }
    }

    /// The list `name.1`, `name.2`, … in the order of its numbers.
    pub fn take_list(&mut self, name: &str) -> Vec<String> {
        let mut items: Vec<(u32, String)> = Vec::new();
        self.fields.retain(|key, value| {
            let number = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')?.parse().ok());
            items.extend(number.map(|number| (number, std::mem::take(value))));
            number.is_none()
        });
        items.sort_by_key(|(number, _)| *number);
        items.into_iter().map(|(_, value)| value).collect()
    }

    /// The structures `name.1.FIELD`, `name.2.FIELD`, … in the order of their numbers.
    pub fn take_structures(&mut self, name: &str) -> Vec<Self> {
        let mut structures: BTreeMap<u32, Self> = BTreeMap::new();
        self.fields.retain(|key, value| {
            let rest = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            let numbered = rest.and_then(|rest| rest.split_once('.'));
            let Some((number, field)) =
                numbered.and_then(|(number, field)| Some((number.parse().ok()?, field)))
            else {
                return true;
            };
            let prefix = || format!("{}{name}.{number}.", self.prefix);
            let structure = structures
                .entry(number)
                .or_insert_with(|| Self { prefix: prefix(), fields: BTreeMap::new() });
            structure.fields.insert(field.to_owned(), std::mem::take(value));
            false
        });
        structures.into_values().collect()
    }

    /// The list `Filter.1.Name`, `Filter.1.Value.1`, ….
    pub fn take_filters(&mut self) -> Result<Vec<Filter>, ApiError> {
        let filter = |mut filter: Self| {
            let name = filter.require("Name")?;
            let values = filter.take_list("Value").iter().map(|value| Glob::new(value)).collect();
            filter.finish()?;
            Ok(Filter { name, values })
        };
        self.take_structures("Filter").into_iter().map(filter).collect()
    }

    /// Refuses what no one has taken: also what EC2 knows and this stand-in does not, so that nothing is ignored.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.fields.into_keys().next() {
            Some(name) => Err(ApiError::unknown_parameter(&format!("{}{name}", self.prefix))),
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
        let filters = parameters.take_filters().expect("a filter");
        assert_eq!(filters[0].name, "vpc-id");
        assert!(filters[0].values[0].matches("vpc-123"));
        assert_eq!(parameters.take_bool("DryRun"), Ok(true));
        let error = parameters.finish().expect_err("X is unknown");
        assert_eq!(error.to_string(), "UnknownParameter: The parameter X.1 is not recognized");
    }

    #[test]
    fn structures_are_read_and_what_is_unknown_in_them_is_named_in_full() {
        let mut parameters = Parameters::parse(b"A.1.B.2.C=deep&A.1.D=&A.2.D=second");
        let [mut first, mut second] =
            <[_; 2]>::try_from(parameters.take_structures("A")).expect("two structures");
        let mut inner = first.take_structures("B").remove(0);
        assert_eq!(inner.require("C").as_deref(), Ok("deep"));
        let error = inner.require("D").expect_err("there is no D");
        assert_eq!(error.to_string(), "MissingParameter: The request must contain the parameter A.1.B.2.D");
        assert_eq!(first.require("D").expect_err("it is empty").code, "MissingParameter");
        assert_eq!(second.take("X"), None);
        let error = second.finish().expect_err("nobody took D");
        assert_eq!(error.to_string(), "UnknownParameter: The parameter A.2.D is not recognized");
        assert_eq!(parameters.finish(), Ok(()));
    }

    #[test]
    fn a_boolean_is_true_or_false() {
        let error = Parameters::parse(b"DryRun=yes").take_bool("DryRun").expect_err("yes is no boolean");
        assert_eq!(error.code, "InvalidParameterValue");
        assert!(error.message.contains("yes") && error.message.contains("DryRun"));
    }
}
