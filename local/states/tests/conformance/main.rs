//! What Step Functions does, rule by rule: small machines on the real interpreter, in a world of scripted functions.
//!
//! Each test names its rule and where AWS states it, or where it was recorded (see the crate's own words on that).

mod api;
mod callbacks;
mod choices;
mod clocks;
mod cloud;
mod data;
mod histories;
mod machines;
mod nested;
mod parallel;
mod retries;
mod starts;
mod validation;
