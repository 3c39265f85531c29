//! What Step Functions does, rule by rule: small machines on the real interpreter, in a world of scripted functions.
//!
//! Each test names its rule and where AWS states it. "Recorded" means a history recorded on real AWS (see the
//! design's section 8).

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
