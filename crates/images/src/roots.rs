//! The authorities that Mozilla trusts, as programs expect them in a file.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Characters in a line of PEM. Source: RFC 7468, section 2.
const LINE: usize = 64;

/// Their certificates in PEM.
pub fn roots() -> String {
    TLS_SERVER_ROOT_CERTS.iter().map(|certificate| pem(certificate)).collect()
}

fn pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let mut lines: Vec<_> = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy).collect();
    lines.insert(0, "-----BEGIN CERTIFICATE-----".into());
    lines.push("-----END CERTIFICATE-----\n".into());
    lines.join("\n")
}
