//! The data plane's choice of configuration
