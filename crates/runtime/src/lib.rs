//! A compiled snapshot: router, plugin chains, balancers and certificates, read-only
