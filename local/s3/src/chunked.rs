//! The content encoding `aws-chunked`, with signatures of its chunks or without, and with a trailer: how the SDKs send a body
//! whose checksum they compute on the way, over plain HTTP with signatures.
//! Source: S3 API Reference, "Signature calculations for trailing headers (chunked uploads)".

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};

use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::signature::Chain;

/// The longest line of a chunk's head or of the trailer. A guess; the longest that is sent has a checksum of 44 characters.
const LINE: usize = 1024;

/// Takes the encoding off, piece by piece.
#[derive(Debug, Default)]
pub struct Decoder {
    rest: BytesMut,
    state: State,
    /// Where the chunks are signed: with what, and what is known of the one that arrives.
    chain: Option<Chain>,
    hash: Sha256,
    signature: String,
    /// What came after the last chunk: by its name in lower case.
    pub trailer: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Data(u64),
    /// The line's end after a chunk.
    DataEnd,
    Trailer,
    End,
}

impl Decoder {
    /// For chunks that are signed so, or not at all.
    pub fn new(chain: Option<Chain>) -> Self {
        Self { chain, ..Self::default() }
    }

    /// Takes what has arrived, and gives what of the content is known by now.
    pub fn decode(&mut self, piece: &Bytes) -> Result<Vec<Bytes>, ApiError> {
        self.rest.extend_from_slice(piece);
        let mut content = Vec::new();
        loop {
            match self.state {
                State::Data(0) => {
                    self.check_chunk()?;
                    self.state = State::DataEnd;
                }
                State::Data(left) => {
                    if self.rest.is_empty() {
                        return Ok(content);
                    }
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.rest.len());
                    let piece = self.rest.split_to(length).freeze();
                    if self.chain.is_some() {
                        self.hash.update(&piece);
                    }
                    content.push(piece);
                    self.state = State::Data(left - length as u64);
                }
                State::End if self.rest.is_empty() => return Ok(content),
                State::End => return Err(malformed()),
                State::Head | State::DataEnd | State::Trailer => {
                    let Some(line) = self.line()? else { return Ok(content) };
                    self.state = self.after(&line)?;
                }
            }
        }
    }

    /// Whether the last chunk and the whole trailer have arrived.
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// The state after a whole line.
    fn after(&mut self, line: &str) -> Result<State, ApiError> {
        match self.state {
            State::Head => {
                let length = match (&self.chain, line.split_once(";chunk-signature=")) {
                    (Some(_), Some((length, signature))) => {
                        signature.clone_into(&mut self.signature);
                        length
                    }
                    (None, None) => line,
                    _ => return Err(malformed()),
                };
                let length = u64::from_str_radix(length, 16).map_err(|_| malformed())?;
                if length > 0 {
                    return Ok(State::Data(length));
                }
                self.check_chunk()?;
                Ok(State::Trailer)
            }
            State::DataEnd if line.is_empty() => Ok(State::Head),
            State::Trailer if line.is_empty() => {
                self.check_trailer()?;
                Ok(State::End)
            }
            State::Trailer => {
                let (name, value) = line.split_once(':').ok_or_else(malformed)?;
                self.trailer.insert(name.trim().to_lowercase(), value.trim().to_owned());
                Ok(State::Trailer)
            }
            _ => Err(malformed()),
        }
    }

    /// Checks the signature of the chunk that has arrived.
    fn check_chunk(&mut self) -> Result<(), ApiError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let hash = hex::encode(std::mem::take(&mut self.hash).finalize());
        chain.check_chunk(&hash, &self.signature)
    }

    /// The same of the trailer, where there is one.
    fn check_trailer(&mut self) -> Result<(), ApiError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let claimed = self.trailer.remove("x-amz-trailer-signature");
        if self.trailer.is_empty() && claimed.is_none() {
            return Ok(());
        }
        let mut lines = String::new();
        for (name, value) in &self.trailer {
            lines.extend([name, ":", value, "\n"]);
        }
        chain.check_trailer(&lines, &claimed.unwrap_or_default())
    }

    fn line(&mut self) -> Result<Option<String>, ApiError> {
        let Some(length) = self.rest.windows(2).take(LINE).position(|pair| pair == b"\r\n") else {
            return if self.rest.len() > LINE { Err(malformed()) } else { Ok(None) };
        };
        let line = self.rest.split_to(length);
        self.rest.advance(2);
        String::from_utf8(line.to_vec()).map(Some).map_err(|_| malformed())
    }
}

/// The sentence is a guess.
fn malformed() -> ApiError {
    ApiError::invalid_request("The body of the request is not well-formed aws-chunked")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content, in one piece, and the decoder after it.
    fn decoded(body: &[u8], piece: usize) -> Result<(Vec<u8>, Decoder), ApiError> {
        let mut decoder = Decoder::default();
        let mut content = Vec::new();
        for piece in body.chunks(piece) {
            for bytes in decoder.decode(&Bytes::copy_from_slice(piece))? {
                content.extend_from_slice(&bytes);
            }
        }
        Ok((content, decoder))
    }

    #[test]
    fn content_and_trailer_are_the_same_however_they_arrive() {
        let body = b"5\r\nhello\r\nA\r\n, world\r\n!\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for piece in 1..=body.len() {
            let (content, decoder) = decoded(body, piece).expect("it is well-formed");
            assert_eq!(content, b"hello, world\r\n!", "{piece}");
            assert!(decoder.is_complete());
            assert_eq!(decoder.trailer["x-amz-checksum-crc32"], "AAAAAA==");
        }
        let (content, decoder) = decoded(b"0\r\n\r\n", 1).expect("it is well-formed");
        assert!(content.is_empty() && decoder.is_complete() && decoder.trailer.is_empty());
    }

    #[test]
    fn what_is_cut_off_is_not_complete_and_what_is_malformed_is_refused() {
        let (_, decoder) = decoded(b"5\r\nhello\r\n0\r\n", 3).expect("it is well-formed so far");
        assert!(!decoder.is_complete());
        for body in [
            &b"x\r\nhello"[..],
            b"5;chunk-signature=0\r\nhello",
            b"5\r\nhello!\r\n",
            b"0\r\nno trailer\r\n\r\n",
            b"0\r\n\r\nmore",
            &[b'1'; LINE + 2],
        ] {
            let error = decoded(body, 1).map(|(content, _)| content).expect_err("refused");
            assert_eq!(error.code, "InvalidRequest", "{}", String::from_utf8_lossy(body));
        }
    }
}
