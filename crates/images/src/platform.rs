//! What an image is for.

use std::fmt;
use std::str::FromStr;

use oci_client::manifest::ImageIndexEntry;
use serde_json::Value;

/// Operating system and processor, as in `linux/amd64` or `linux/arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Go's name of the system, such as `linux`.
    pub os: String,
    /// Go's name of the processor, such as `amd64`.
    pub architecture: String,
    /// The processor's version where there are several, such as `v7`.
    pub variant: Option<String>,
}

impl Platform {
    /// The platform that an index says of an image; an attestation has none.
    pub(crate) fn of_entry(entry: &ImageIndexEntry) -> Option<Self> {
        let platform = entry.platform.as_ref()?;
        let (os, architecture) = (platform.os.to_string(), platform.architecture.to_string());
        Some(Self { os, architecture, variant: platform.variant.clone() })
    }

    /// The platform that an image's configuration says.
    /// Source: OCI image specification, config.md, properties.
    pub(crate) fn of_config(config: &Value) -> Option<Self> {
        let text = |name: &str| config[name].as_str().map(str::to_owned);
        Some(Self { os: text("os")?, architecture: text("architecture")?, variant: text("variant") })
    }

    /// Whether an image for `other` is one of those meant by this: where no variant is named, any is.
    pub(crate) fn means(&self, other: &Self) -> bool {
        let is_same = self.os == other.os && self.architecture == other.architecture;
        is_same && (self.variant().is_none() || self.variant() == other.variant())
    }

    /// The variant, but for the first of ARM64, of which images say v8 or nothing.
    /// Source: github.com/containerd/platforms, database.go, `normalizeArch`.
    fn variant(&self) -> Option<&str> {
        let is_first = |variant: &&str| self.architecture == "arm64" && *variant == "v8";
        self.variant.as_deref().filter(|variant| !is_first(variant))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(formatter, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(os), Some(architecture), variant) if !os.is_empty() && !architecture.is_empty() => {
                Ok(Self { os, architecture, variant })
            }
            _ => Err("a platform is OS/PROCESSOR, such as linux/amd64 or linux/arm64".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_without_a_variant_means_each() {
        let is_meant = |wanted: &str, other: &str| {
            wanted.parse::<Platform>().unwrap().means(&other.parse().expect("a platform"))
        };
        for (wanted, other) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v6"),
            ("linux/arm/v7", "linux/arm/v7"),
        ] {
            assert!(is_meant(wanted, other), "{wanted} means {other}");
        }
        for (wanted, other) in [
            ("linux/amd64", "linux/arm64"),
            ("linux/amd64", "windows/amd64"),
            ("linux/arm/v7", "linux/arm/v6"),
            ("linux/arm64/v9", "linux/arm64"),
        ] {
            assert!(!is_meant(wanted, other), "{wanted} does not mean {other}");
        }
    }

    #[test]
    fn a_platform_has_two_parts_or_three() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().map(|platform| platform.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "linux", "/amd64", "linux/"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
