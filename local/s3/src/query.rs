//! The parameters of a request's query.

use url::form_urlencoded;

use crate::error::ApiError;

/// Parameters that nobody has taken yet. Those of signatures and of the SDKs, which repeat an operation's name (`x-id`), are
/// not among them.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
        Self(pairs.filter(|(name, _)| !name.starts_with("X-Amz-") && name != "x-id").collect())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// A number from 0 to `most`, which is also what is meant where nothing is said; more is taken for `most`.
    pub fn take_limit(&mut self, name: &str, most: usize) -> Result<usize, ApiError> {
        let Some(text) = self.take(name) else { return Ok(most) };
        let limit: usize = text.parse().map_err(|_| {
            ApiError::argument(name, &text, format!("Provided {name} not an integer or within integer range"))
        })?;
        Ok(limit.min(most))
    }

    /// Refuses what is left, which the stand-in does not know.
    pub fn finish(&self) -> Result<(), ApiError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::unsupported(&format!("the parameter {name}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_refused() {
        let mut query =
            Query::parse(Some("uploadId=a%20b&partNumber=7&x-id=UploadPart&X-Amz-Date=1&max-keys=5000"));
        assert_eq!(query.take("uploadId").as_deref(), Some("a b"));
        assert!(query.has("partNumber") && !query.has("x-id"));
        assert_eq!(query.take_limit("max-keys", 1000), Ok(1000));
        assert_eq!(query.finish().unwrap_err().code, "NotImplemented");
        assert_eq!(query.take_limit("partNumber", 1000), Ok(7));
        assert_eq!(query.take_limit("max-parts", 1000), Ok(1000));
        assert_eq!(query.finish(), Ok(()));
        let negative = Query::parse(Some("max-keys=-1")).take_limit("max-keys", 1000);
        assert_eq!(negative.unwrap_err().code, "InvalidArgument");
    }
}
