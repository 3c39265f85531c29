//! The fields of a request of the AWS Query protocol: lists are `Subnets.member.1`, and structures in them
//! `Tags.member.1.Key`.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::ApiError;

/// The fields of one request, or of one structure in it, that nobody has asked for yet; what is left at the end is
/// unknown.
#[derive(Clone, Debug, Default)]
pub struct Form {
    fields: BTreeMap<String, String>,
}

impl Form {
    pub fn parse(body: &[u8]) -> Self {
        Self { fields: url::form_urlencoded::parse(body).into_owned().collect() }
    }

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.fields.values().map(String::as_str)
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.fields.remove(name)
    }

    pub fn require(&mut self, name: &str) -> Result<String, ApiError> {
        self.take(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            ApiError::validation(format!(
                "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ))
        })
    }

    /// A number that `range` has, where one is given.
    pub fn take_number<T: FromStr + PartialOrd + ToString>(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let wrong = || {
            let (least, most) = (range.start().to_string(), range.end().to_string());
            ApiError::validation(format!("{name} '{text}' must be a number between {least} and {most}"))
        };
        number.map(Some).ok_or_else(wrong)
    }

    /// The value of the field, which has to be one of `known`, or the first of them.
    pub fn take_one_of(&mut self, name: &str, known: &[&'static str]) -> Result<&'static str, ApiError> {
        let Some(given) = self.take(name) else { return Ok(known[0]) };
        known.iter().copied().find(|value| *value == given).ok_or_else(|| {
            ApiError::validation(format!(
                "Value '{given}' at '{name}' failed to satisfy constraint: Member must satisfy enum value set: {known:?}"
            ))
        })
    }

    /// The list of texts, in the order of its numbers.
    pub fn take_list(&mut self, name: &str) -> Vec<String> {
        let mut items = BTreeMap::new();
        self.fields.retain(|key, value| {
            let number = of_list(key, name).and_then(|rest| rest.parse::<u32>().ok());
            items.extend(number.map(|number| (number, std::mem::take(value))));
            number.is_none()
        });
        items.into_values().collect()
    }

    /// The list of structures, in the order of its numbers.
    pub fn take_structures(&mut self, name: &str) -> Vec<Self> {
        let mut structures: BTreeMap<u32, Self> = BTreeMap::new();
        self.fields.retain(|key, value| {
            let numbered = of_list(key, name).and_then(|rest| rest.split_once('.'));
            let Some((number, field)) =
                numbered.and_then(|(number, field)| Some((number.parse().ok()?, field)))
            else {
                return true;
            };
            let fields = &mut structures.entry(number).or_default().fields;
            fields.insert(field.to_owned(), std::mem::take(value));
            false
        });
        structures.into_values().collect()
    }

    /// Refuses what no one has taken: also what AWS knows and this stand-in does not, so that nothing is ignored.
    pub fn finish(&self) -> Result<(), ApiError> {
        match self.fields.keys().next() {
            Some(name) => Err(ApiError::unsupported(&format!("the field {name}"))),
            None => Ok(()),
        }
    }
}

/// What comes after `NAME.member.` in `key`.
fn of_list<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix(name)?.strip_prefix(".member.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_are_read_in_the_order_of_their_numbers_and_the_rest_is_unknown() {
        let mut form =
            Form::parse(b"S.member.2=b&S.member.10=c&S.member.1=a&T.member.1.Key=k&T.member.1.Value=v&X=y");
        assert_eq!(form.take_list("S"), ["a", "b", "c"]);
        let mut tag = form.take_structures("T").remove(0);
        assert_eq!((tag.require("Key").unwrap(), tag.take("Value").unwrap()), ("k".into(), "v".into()));
        assert_eq!(form.finish().unwrap_err().code, "ValidationError");
        assert!(form.finish().unwrap_err().message.contains("the field X"));
        form.take("X");
        form.finish().unwrap();
    }

    #[test]
    fn a_number_out_of_range_and_a_word_that_is_none_are_refused_by_name() {
        let mut form = Form::parse(b"Port=70000&Type=classic");
        let error = form.take_number("Port", 1..=65535_u32).unwrap_err();
        assert!(error.message.contains("Port '70000'"), "{error}");
        let error = form.take_one_of("Type", &["network"]).unwrap_err();
        assert!(error.message.contains("'classic' at 'Type'"), "{error}");
        assert_eq!(form.take_number("Port", 1..=65535_u32).unwrap(), None);
        assert_eq!(form.take_one_of("Scheme", &["internet-facing", "internal"]).unwrap(), "internet-facing");
    }
}
