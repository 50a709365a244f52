//! Admin API and status API
