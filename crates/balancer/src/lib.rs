//! Upstream to target, with health state
