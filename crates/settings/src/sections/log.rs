//! Logs.

use crate::section::section;
use crate::values::{AccessLogTarget, LogFormat, LogLevel, LogTarget, NamedFormat};

section! {
    /// What is logged, and where to. Relative paths lie under the prefix.
    pub struct Log in "LOGS" {
        /// The least important kind of message that is logged.
        log_level: LogLevel = "notice" for Every;
        /// The form of the node's own log lines: `text` for people, `json` for
        /// machines, one object a line.
        log_format: LogFormat = "text" for Every;
        /// Where a line for each proxied request goes: a file, /dev/stdout, or off. The
        /// name of a format may follow: `json` for one object a line, `combined` for
        /// nginx's, or the one of nginx_http_log_format. Lines never hold up a request:
        /// those that come faster than they can be written are dropped and counted. The
        /// file is opened anew on SIGUSR1.
        proxy_access_log: AccessLogTarget = "logs/access.log" for Proxying;
        /// A format with a name for proxy_access_log, with nginx's variables:
        /// `mine '$remote_addr "$request" $status $request_time'`. `escape=json` or
        /// `escape=none` may follow the name. Beside nginx's own there are
        /// $kong_request_id, $kong_route, $kong_service and $kong_consumer.
        nginx_http_log_format: Option<NamedFormat> = "" for Proxying;
        /// Where the node's own log goes when it runs in the background. In the
        /// foreground it goes to standard error, unless this is set.
        proxy_error_log: LogTarget = "logs/error.log" for Every;
        /// Where a line for each proxied TCP, TLS or UDP stream goes.
        proxy_stream_access_log: LogTarget = "logs/access.log basic" for Proxying;
        /// Where a line for each request to the Admin API goes, and for each
        /// connection of a data plane.
        admin_access_log: LogTarget = "logs/admin_access.log" for Administering,
            missing "requests to the Admin API are not logged one by one in this build yet";
        /// Where a line for each request to the status API goes.
        status_access_log: LogTarget = "off" for Every,
            missing "requests to the status API are not logged one by one in this build yet";
    }
}
