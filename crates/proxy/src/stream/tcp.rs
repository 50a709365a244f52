//! A session over TCP, in clear or over TLS, from its first byte to its last.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::kinds::Protocol;
use tokio::net::TcpStream;
use tokio_rustls::{StartHandshake, TlsStream};

use super::account::Account;
use super::connect::{self, Manner};
use super::gate::{Visitor, passes_tls_through};
use super::hello::{self, Hello};
use super::peers::Peers;
use super::refusal::Refusal;
use super::relay::{self, Patience};
use super::{StreamListen, Streams, Transport};
use crate::core::FRESH;
use crate::net::{Stream, proxy_protocol, tls_session};
use crate::phases::real_ip;
use crate::worker::accept_on;

/// Accepts sessions until the worker drains.
pub(super) async fn accept(
    streams: Rc<Streams>,
    listen: StreamListen,
    listener: tokio::net::TcpListener,
) {
    let core = Rc::clone(&streams.core);
    accept_on(&core, listen.address, listener, |stream, peer| {
        let (streams, listen) = (Rc::clone(&streams), listen.clone());
        let admitted = streams.admit(listen.transport);
        tokio::task::spawn_local(async move {
            let account = Account::open(&streams, listen.transport, peer.ip().to_canonical());
            let served = match admitted {
                Some(_) => serve(&streams, &listen, &account, stream, peer).await,
                None => Err(Refusal::Full),
            };
            if let Err(refusal) = served {
                account.status.set(refusal.status());
                refuse(&account, &listen, &refusal);
            }
            drop(account);
            drop(admitted);
        });
    })
    .await;
}

fn refuse(account: &Account, listen: &StreamListen, refusal: &Refusal) {
    let (client, address) = (account.client.get(), listen.address);
    if refusal.is_of_client() {
        tracing::info!(%client, listener = %address, %refusal, "a session was refused");
    } else {
        tracing::warn!(%client, listener = %address, %refusal, "a session cannot be served");
    }
}

async fn serve(
    streams: &Rc<Streams>,
    listen: &StreamListen,
    account: &Account,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> Result<(), Refusal> {
    let core = &*streams.core;
    let limits = &core.settings.stream.limits;
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else {
        return Ok(());
    };
    let opening = open(streams, listen, &mut stream, canonical(peer));
    let opening = tokio::time::timeout(limits.preread, opening);
    let Some(opened) = core.draining.within(FRESH, opening).await else {
        return Ok(());
    };
    let (source, hello) = opened.map_err(|_| Refusal::Silent)??;
    account.client.set(source.ip());
    let (name, hello) = match hello {
        Some(Hello {
            name,
            bytes,
            accepted,
        }) => (name, Some((bytes, accepted))),
        None => (None, None),
    };
    let visitor = Visitor {
        protocol: match listen.transport {
            Transport::Tls => Protocol::Tls,
            _ => Protocol::Tcp,
        },
        source,
        peer: canonical(peer),
        local: canonical(core.settings.seen_from_outside(local)),
        name,
    };
    let runtime = core.runtime();
    let routed = visitor.route(&runtime)?;
    account.route(&routed, &visitor.client());
    let as_is = passes_tls_through(&routed);
    let Ok(stream) = core.engine.adopt(stream) else {
        return Ok(());
    };
    let (mut client, ahead) = match hello {
        Some((_, accepted)) if !as_is => {
            let handshake =
                StartHandshake::from_parts(accepted, stream).into_stream(Arc::clone(&streams.tls));
            let shaken = tokio::time::timeout(limits.handshake, handshake).await;
            let stream = shaken
                .map_err(|_| Refusal::Silent)?
                .map_err(Refusal::Handshake)?;
            account.encrypt(tls_session::of(stream.get_ref().1));
            (Stream::Tls(Box::new(TlsStream::from(stream))), Vec::new())
        }
        Some((bytes, _)) => (Stream::Tcp(stream), bytes),
        None => (Stream::Tcp(stream), Vec::new()),
    };
    let entry = visitor.pass(&routed)?;
    let mut peers = Peers::new(core, &runtime, entry, source.ip());
    let preserved = visitor.name.as_deref();
    let manner = Manner {
        as_is,
        name: preserved.filter(|_| routed.route.preserve_host),
    };
    let mut connected = connect::connect(entry, &mut peers, manner, account).await?;
    let patience = Patience {
        read: Duration::from_millis(entry.service.read_timeout),
        write: Duration::from_millis(entry.service.write_timeout),
    };
    // A long session must not hold a whole configuration in memory.
    drop(runtime);
    let service = &mut connected.stream;
    let ended = relay::run(streams, account, &mut client, service, &ahead, patience).await;
    if let Err(cut) = ended {
        tracing::debug!(client = %source, %cut, "a session was cut short");
    }
    Ok(())
}

/// What comes before a session's own bytes: who the client is, and how it begins with TLS.
async fn open(
    streams: &Streams,
    listen: &StreamListen,
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> Result<(SocketAddr, Option<Hello>), Refusal> {
    let mut source = peer;
    if listen.proxy_protocol {
        let told = proxy_protocol::take(stream)
            .await
            .map_err(Refusal::Header)?;
        if let Some(told) = told
            && real_ip::is_trusted(&streams.core.settings, peer.ip())
        {
            source = canonical(told);
        }
    }
    let hello = match listen.transport {
        Transport::Tls => Some(hello::read(stream, streams.settings().limits.hello).await?),
        _ => None,
    };
    Ok((source, hello))
}

/// An IPv4 client of an IPv6 socket is an IPv4 client.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
