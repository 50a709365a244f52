//! Who may connect to whom.

use keelgate_sync::{Event, Phase, ServerLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::*;

async fn first_failure(node: &mut Node) -> (Phase, String) {
    match node
        .until(|event| matches!(event, Event::DialFailed { .. } | Event::Connected { .. }))
        .await
    {
        Event::DialFailed { phase, error, .. } => (phase, error),
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_by_the_data_plane() {
    let (ours, theirs) = (cluster(), cluster());
    let control_plane = ControlPlane::start(&theirs).await;
    let mut node = Node::start(client_config(&[control_plane.address], &ours));
    let (phase, error) = first_failure(&mut node).await;
    assert_eq!(phase, Phase::Tls, "{error}");
    assert!(error.contains("not the cluster certificate"), "{error}");
}

#[tokio::test]
async fn without_the_cluster_certificate_there_is_no_answer() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    for stranger in [None, Some(cluster())] {
        let mut answer = Vec::new();
        if let Ok(mut stream) = raw_tls(control_plane.address, stranger.as_ref()).await {
            // The refusal may come before or after the request is written.
            let _ = stream.write_all(b"GET /v1/outlet HTTP/1.1\r\n\r\n").await;
            let _ = patiently(stream.read_to_end(&mut answer)).await;
        }
        assert_eq!(answer, b"");
    }
    assert!(control_plane.data_planes.list().is_empty());
}

#[tokio::test]
async fn an_authority_vouches_for_both_ends() {
    let authority = Authority::new();
    let server = authority.issue("cp.example.com");
    let limits = ServerLimits::default();
    let trust = authority.trust(None);
    let control_plane = ControlPlane::start_with(&server, trust, limits, "127.0.0.1:0").await;
    control_plane.publish(&snapshot(1));

    let mut config = client_config(&[control_plane.address], &authority.issue("dp.example.com"));
    config.trust = authority.trust(Some("cp.example.com"));
    Node::start(config.clone()).gets(&snapshot(1)).await;

    config.trust = authority.trust(Some("other.example.com"));
    let (phase, error) = first_failure(&mut Node::start(config.clone())).await;
    assert_eq!(phase, Phase::Tls, "{error}");

    config.trust = authority.trust(None);
    let (phase, error) = first_failure(&mut Node::start(config.clone())).await;
    assert_eq!(
        phase,
        Phase::Tls,
        "the certificate is not for the address: {error}"
    );

    let stranger = Authority::new().issue("dp.example.com");
    config.cert_pem = stranger.cert;
    config.key_pem = stranger.key;
    config.trust = authority.trust(Some("cp.example.com"));
    let (phase, error) = first_failure(&mut Node::start(config)).await;
    assert_eq!(phase, Phase::Tls, "{error}");
}

#[tokio::test]
async fn a_request_without_tls_is_told_so() {
    let control_plane = ControlPlane::start(&cluster()).await;
    let mut stream = tokio::net::TcpStream::connect(control_plane.address)
        .await
        .unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = [0; 16];
    patiently(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400 Bad");
}
