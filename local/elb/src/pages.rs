//! Long lists, a page at a time.

use crate::error::ApiError;
use crate::form::Form;

/// The most that a page has, and the number where none is asked for (API reference, `PageSize`: 1 to 400).
const LONGEST: usize = 400;

/// Which page is asked for.
#[derive(Debug)]
pub struct Page {
    size: usize,
    /// The ARN after which it begins.
    after: Option<String>,
}

impl Page {
    pub fn take(form: &mut Form) -> Result<Self, ApiError> {
        let size = form.take_number("PageSize", 1..=LONGEST)?.unwrap_or(LONGEST);
        Ok(Self { size, after: form.take("Marker") })
    }

    /// The part of `all`, which are in the order of their ARNs, and the marker of what follows it.
    pub fn of<T>(self, all: impl Iterator<Item = (String, T)>) -> (Vec<T>, Option<String>) {
        let rest = all.skip_while(|(arn, _)| self.after.as_ref().is_some_and(|after| arn <= after));
        let mut page: Vec<_> = rest.take(self.size + 1).collect();
        let is_last = page.len() <= self.size;
        page.truncate(self.size);
        let marker = page.last().filter(|_| !is_last).map(|(arn, _)| arn.clone());
        (page.into_iter().map(|(_, item)| item).collect(), marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_to_the_end() {
        let all = || ["a", "b", "c"].into_iter().map(|arn| (arn.to_owned(), arn));
        let page = |body: &str| Page::take(&mut Form::parse(body.as_bytes())).unwrap().of(all());
        assert_eq!(page(""), (vec!["a", "b", "c"], None));
        assert_eq!(page("PageSize=2"), (vec!["a", "b"], Some("b".into())));
        assert_eq!(page("PageSize=2&Marker=b"), (vec!["c"], None));
        assert_eq!(page("PageSize=3"), (vec!["a", "b", "c"], None));
        assert!(Page::take(&mut Form::parse(b"PageSize=401")).is_err());
    }
}
