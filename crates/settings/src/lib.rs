//! kong.conf and environment to typed, documented, checked settings
