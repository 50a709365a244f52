//! What the settings tell the proxy of streams.

use std::sync::Arc;

use anyhow::Context;
use keelgate_proxy as proxy;
use keelgate_settings::Settings;
use keelgate_telemetry::LineSink;

use super::served::{self, Lasting};

/// The proxy's settings of streams.
pub(crate) async fn settings(
    settings: &Settings,
    lasting: &Lasting,
) -> anyhow::Result<proxy::StreamSettings> {
    let mut listen = Vec::new();
    for listener in &settings.listen.stream_listen {
        let transport = match (listener.udp, listener.ssl) {
            (true, _) => proxy::Transport::Udp,
            (false, true) => proxy::Transport::Tls,
            (false, false) => proxy::Transport::Tcp,
        };
        let address = served::address("stream_listen", listener).await?;
        listen.push(proxy::StreamListen {
            proxy_protocol: listener.proxy_protocol,
            backlog: listener.backlog.unwrap_or(511),
            ..proxy::StreamListen::new(address, transport)
        });
    }
    // Nobody comes where nothing listens: the log is not even opened.
    let log = match listen.is_empty() {
        true => None,
        false => log(settings, lasting)?,
    };
    let own = &settings.proxy;
    let limits = proxy::StreamLimits {
        preread: own.nginx_stream_preread_timeout.0,
        hello: served::size(own.nginx_stream_preread_buffer_size.0),
        handshake: own.nginx_stream_ssl_handshake_timeout.0,
        ..proxy::StreamLimits::default()
    };
    Ok(proxy::StreamSettings {
        listen,
        limits,
        log,
        counts: Arc::clone(&lasting.stream_counts),
    })
}

/// Kong's log of streams, written off the sessions' way.
struct Lines(LineSink);

impl proxy::StreamLog for Lines {
    fn record(&self, record: &proxy::StreamRecord) {
        self.0.write(record.to_string().into_bytes());
    }

    fn reopen(&self) {
        self.0.reopen();
    }
}

fn log(
    settings: &Settings,
    lasting: &Lasting,
) -> anyhow::Result<Option<Arc<dyn proxy::StreamLog>>> {
    let Some(destination) = served::destination(&settings.log.proxy_stream_access_log) else {
        return Ok(None);
    };
    let sink = LineSink::open(destination).context("proxy_stream_access_log")?;
    lasting.count_losses(&sink);
    Ok(Some(Arc::new(Lines(sink))))
}
