//! Logs, metrics and progress
