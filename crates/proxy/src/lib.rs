//! Listeners, TLS, HTTP and the phases of a request
