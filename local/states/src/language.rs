//! The Amazon States Language (JSONPath): definitions, parsed once and refused where AWS would refuse them, and the
//! evaluation of everything in them that is a function of data alone.
//!
//! <https://states-language.net/spec.html> and <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html>

pub mod choice;
pub mod definition;
pub mod failure;
pub mod fault;
mod fields;
pub mod intrinsic;
pub mod parse;
pub mod path;
pub mod resource;
pub mod template;
