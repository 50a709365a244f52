//! Entities at rest on the control plane
