//! What all Describe calls share: ids, filters and pages.

use std::ops::RangeInclusive;

use crate::error::ApiError;
use crate::parameters::{Filter, Parameters};
use crate::tags::Tags;

/// The names of a kind's filters, and the values that a resource has for each.
pub type Filters<T> = &'static [(&'static str, fn(&T) -> Vec<String>)];

/// A kind of resource that can be described.
pub trait Describe: Sized + 'static {
    /// The request's list of ids, `SubnetId`.
    const IDS: &'static str;
    /// Its filters beside `tag:KEY` and `tag-key`.
    const FILTERS: Filters<Self>;
    /// How many can be on a page (EC2 API reference, `MaxResults` of most calls).
    const PAGE: RangeInclusive<usize> = 5..=1000;

    fn id(&self) -> &str;
    fn tags(&self) -> &Tags;
    /// The error for an id that does not exist.
    fn not_found(id: &str) -> ApiError;

    /// Refuses what is no id of the kind, where EC2 has a code for that.
    fn check_id(_: &str) -> Result<(), ApiError> {
        Ok(())
    }
}

/// What a Describe call asks for.
#[derive(Debug)]
pub struct Query {
    ids: Vec<String>,
    filters: Vec<Filter>,
    max_results: Option<usize>,
    /// The id after which the page starts.
    after: Option<String>,
}

impl Query {
    /// Takes a query for resources of the kind `T` from the request.
    pub fn take<T: Describe>(parameters: &mut Parameters) -> Result<Self, ApiError> {
        let query = Self {
            ids: parameters.take_list(T::IDS),
            filters: parameters.take_filters()?,
            max_results: parameters.take("MaxResults").map(|value| max_results::<T>(&value)).transpose()?,
            after: parameters.take("NextToken"),
        };
        query.ids.iter().try_for_each(|id| T::check_id(id))?;
        match query.filters.iter().find(|filter| !filter.is_of::<T>()) {
            Some(unknown) => Err(ApiError::new(
                "InvalidParameterValue",
                format!("The filter '{}' is invalid", unknown.name),
            )),
            None => Ok(query),
        }
    }

    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Refuses ids together with pages, for the calls that say so.
    pub fn without_pages_of_ids<T: Describe>(self) -> Result<Self, ApiError> {
        if self.ids.is_empty() || self.max_results.is_none() {
            return Ok(self);
        }
        Err(ApiError::new(
            "InvalidParameterCombination",
            format!("The parameter {} cannot be used with the parameter MaxResults", T::IDS),
        ))
    }

    /// The page of `all` that fits, ordered by id, and the token for the next.
    pub fn select<T: Describe>(&self, mut all: Vec<T>) -> Result<(Vec<T>, Option<String>), ApiError> {
        if let Some(missing) = self.ids.iter().find(|id| all.iter().all(|resource| resource.id() != *id)) {
            return Err(T::not_found(missing));
        }
        all.retain(|resource| {
            (self.ids.is_empty() || self.ids.iter().any(|id| id == resource.id()))
                && self.filters.iter().all(|filter| filter.fits(resource))
                && self.after.as_deref().is_none_or(|after| resource.id() > after)
        });
        all.sort_by(|a, b| a.id().cmp(b.id()));
        let Some(limit) = self.max_results.filter(|limit| *limit < all.len()) else { return Ok((all, None)) };
        all.truncate(limit);
        let token = all.last().map(|last| last.id().to_owned());
        Ok((all, token))
    }
}

/// The stack's own resources as MiniStack's EC2 answered them. One that lacks a field is an error, since it would
/// otherwise be missing without a word.
pub fn adopt<S: std::fmt::Debug, T>(
    theirs: Vec<S>,
    adopted: impl Fn(S) -> Option<T>,
) -> Result<Vec<T>, ApiError> {
    let adopt = |theirs: S| {
        let incomplete = format!("MiniStack's EC2 left out a field that EC2 always gives: {theirs:?}");
        adopted(theirs).ok_or_else(|| ApiError::new("InternalError", incomplete))
    };
    theirs.into_iter().map(adopt).collect()
}

/// Whether `id` begins with `prefix` and a hyphen; else the error `malformed` (EC2 API reference, "Error codes"). What
/// follows is not looked at, since MiniStack's ids need not be AWS's.
pub fn check_prefix(id: &str, prefix: &str, malformed: &'static str) -> Result<(), ApiError> {
    if id.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-')) {
        return Ok(());
    }
    Err(ApiError::new(malformed, format!(r#"Invalid id: "{id}" (expecting "{prefix}-...")"#)))
}

fn max_results<T: Describe>(value: &str) -> Result<usize, ApiError> {
    value.parse().ok().filter(|number| T::PAGE.contains(number)).ok_or_else(|| {
        let expected = format!("It must be between {} and {}.", T::PAGE.start(), T::PAGE.end());
        ApiError::invalid_value("MaxResults", value, &expected)
    })
}

impl Filter {
    fn is_of<T: Describe>(&self) -> bool {
        self.name == "tag-key"
            || self.name.starts_with("tag:")
            || T::FILTERS.iter().any(|(name, _)| *name == self.name)
    }

    /// Whether one of the filter's values fits one of the resource's. Case counts.
    fn fits<T: Describe>(&self, resource: &T) -> bool {
        let tags = &resource.tags().0;
        let actual: Vec<String> = match self.name.strip_prefix("tag:") {
            Some(key) => tags.get(key).cloned().into_iter().collect(),
            None if self.name == "tag-key" => tags.keys().cloned().collect(),
            None => T::FILTERS
                .iter()
                .filter(|(name, _)| *name == self.name)
                .flat_map(|(_, of)| of(resource))
                .collect(),
        };
        actual.iter().any(|value| self.values.iter().any(|wanted| wanted.matches(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Thing(String, Tags);

    impl Describe for Thing {
        const IDS: &'static str = "ThingId";
        const FILTERS: Filters<Self> = &[("thing-id", |thing| vec![thing.0.clone()])];

        fn id(&self) -> &str {
            &self.0
        }

        fn tags(&self) -> &Tags {
            &self.1
        }

        fn not_found(id: &str) -> ApiError {
            ApiError::new("InvalidThingID.NotFound", id)
        }
    }

    /// Twelve things, the odd ones of alice and the even ones of bob.
    fn things() -> Vec<Thing> {
        let thing = |number: u32| {
            let user = if number % 2 == 1 { "alice" } else { "bob" };
            Thing(format!("thing-{number:02}"), Tags([("user".into(), user.into())].into()))
        };
        (1..=12).rev().map(thing).collect()
    }

    fn select(body: &str) -> Result<(Vec<String>, Option<String>), ApiError> {
        let (things, token) =
            Query::take::<Thing>(&mut Parameters::parse(body.as_bytes()))?.select(things())?;
        Ok((things.into_iter().map(|thing| thing.0).collect(), token))
    }

    #[test]
    fn filters_are_all_to_fit_by_one_of_their_values() {
        for (body, count) in [
            ("", 12),
            ("Filter.1.Name=thing-id&Filter.1.Value.1=thing-03", 1),
            ("Filter.1.Name=thing-id&Filter.1.Value.1=thing-03&Filter.1.Value.2=thing-04", 2),
            ("Filter.1.Name=thing-id&Filter.1.Value.1=thing-1*", 3),
            ("Filter.1.Name=thing-id&Filter.1.Value.1=thing-0?", 9),
            ("Filter.1.Name=tag:user&Filter.1.Value.1=alice", 6),
            ("Filter.1.Name=tag:user&Filter.1.Value.1=Alice", 0),
            ("Filter.1.Name=tag:User&Filter.1.Value.1=alice", 0),
            ("Filter.1.Name=tag-key&Filter.1.Value.1=use*", 12),
            ("Filter.1.Name=tag:user&Filter.1.Value.1=bob&Filter.2.Name=thing-id&Filter.2.Value.1=*3", 0),
            ("Filter.1.Name=tag:user&Filter.1.Value.1=bob&ThingId.1=thing-01&ThingId.2=thing-02", 1),
        ] {
            assert_eq!(select(body).map(|(things, _)| things.len()), Ok(count), "{body}");
        }
    }

    #[test]
    fn pages_follow_one_another_to_the_end() {
        let (first, token) = select("MaxResults=5").expect("a page");
        assert_eq!((first.len(), first[0].as_str()), (5, "thing-01"));
        let (second, token) =
            select(&format!("MaxResults=5&NextToken={}", token.expect("more"))).expect("a page");
        assert_eq!(second[0], "thing-06");
        let (third, token) =
            select(&format!("MaxResults=5&NextToken={}", token.expect("more"))).expect("a page");
        assert_eq!((third, token), (vec!["thing-11".to_owned(), "thing-12".to_owned()], None));
    }

    #[test]
    fn unknown_ids_filters_and_sizes_are_named() {
        for (body, code, word) in [
            ("ThingId.1=thing-01&ThingId.2=thing-99", "InvalidThingID.NotFound", "thing-99"),
            ("Filter.1.Name=colour&Filter.1.Value.1=red", "InvalidParameterValue", "colour"),
            ("MaxResults=4", "InvalidParameterValue", "4"),
            ("MaxResults=1001", "InvalidParameterValue", "1001"),
        ] {
            let error = select(body).expect_err(body);
            assert_eq!(error.code, code);
            assert!(error.message.contains(word), "{error}");
        }
    }
}
