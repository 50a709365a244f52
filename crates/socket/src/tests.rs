//! Both engines, over real connections. Where the kernel refuses io_uring only epoll is tested.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

use super::{Engine, Socket, probe};

/// Runs a test on each engine that is to be had.
fn on_each<F: Future<Output = ()> + 'static>(test: impl Fn(Engine) -> F) {
    let run = |io_uring: bool| {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let engine = match io_uring {
                true => Engine::io_uring().unwrap(),
                false => Engine::epoll(),
            };
            // As a task: what a runtime is blocked on is no task of it.
            tokio::task::spawn_local(test(engine)).await.unwrap();
        });
    };
    run(false);
    if probe().is_ok() {
        run(true);
    }
}

/// A connection of the engine, and its peer.
async fn pair(engine: &Engine) -> (Socket, TcpStream) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let far = listener.accept().await.unwrap().0;
    (engine.adopt(near).unwrap(), far)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

const MUCH: usize = 9_000_000;

#[test]
fn bytes_go_both_ways_again_and_again() {
    on_each(async |engine| {
        let (mut near, mut far) = pair(&engine).await;
        for length in [1, 200, 5_000, 20_000] {
            let sent = pattern(length);
            let mut came = vec![0; length];
            near.write_all(&sent).await.unwrap();
            far.read_exact(&mut came).await.unwrap();
            assert_eq!(came, sent);
            far.write_all(&sent).await.unwrap();
            came.fill(0);
            near.read_exact(&mut came).await.unwrap();
            assert_eq!(came, sent);
        }
        assert!(near.is_quiet());
    });
}

#[test]
fn much_arrives_whole_both_ways_at_once() {
    on_each(async |engine| {
        let (near, far) = pair(&engine).await;
        let (mut near_reads, mut near_writes) = tokio::io::split(near);
        let (mut far_reads, mut far_writes) = far.into_split();
        let sent = pattern(MUCH);
        let (mut here, mut there) = (vec![0; MUCH], vec![0; MUCH]);
        let small = async {
            for piece in sent.chunks(3_000) {
                near_writes.write_all(piece).await.unwrap();
            }
        };
        let ((), far_wrote, near_read, far_read) = tokio::join!(
            small,
            far_writes.write_all(&sent),
            near_reads.read_exact(&mut here),
            far_reads.read_exact(&mut there),
        );
        far_wrote.unwrap();
        near_read.unwrap();
        far_read.unwrap();
        assert!(here == sent);
        assert!(there == sent);
    });
}

#[test]
fn a_writer_waits_while_its_peer_takes_nothing() {
    on_each(async |engine| {
        let (mut near, mut far) = pair(&engine).await;
        let piece = pattern(1_000);
        let mut written = 0;
        // Ends, since somebody must hold what was written, and nobody holds that much.
        loop {
            let write = poll_fn(|cx| Pin::new(&mut near).poll_write(cx, &piece));
            tokio::select! {
                biased;
                count = write => written += count.unwrap(),
                () = std::future::ready(()) => {
                    // What was taken may still be on its way to the kernel.
                    let more = poll_fn(|cx| Pin::new(&mut near).poll_write(cx, &piece));
                    match tokio::time::timeout(std::time::Duration::from_millis(200), more).await {
                        Ok(count) => written += count.unwrap(),
                        Err(_) => break,
                    }
                }
            }
            assert!(written < 100_000_000);
        }
        let mut came = vec![0; written];
        let (read, shut) = tokio::join!(far.read_exact(&mut came), near.shutdown());
        read.unwrap();
        shut.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn what_a_slow_reader_leaves_is_kept_in_order() {
    on_each(async |engine| {
        let (mut near, mut far) = pair(&engine).await;
        let sent = pattern(400_000);
        let told = sent.clone();
        let peer = tokio::task::spawn_local(async move {
            far.write_all(&told).await.unwrap();
            far
        });
        let mut came = Vec::new();
        let mut piece = [0; 777];
        while came.len() < sent.len() {
            tokio::task::yield_now().await;
            let count = near.read(&mut piece).await.unwrap();
            came.extend_from_slice(&piece[..count]);
        }
        assert!(came == sent);
        drop(peer.await.unwrap());
        assert_eq!(near.read(&mut piece).await.unwrap(), 0);
        assert!(!near.is_quiet());
    });
}

#[test]
fn an_end_of_one_direction_comes_after_what_was_written() {
    on_each(async |engine| {
        let (mut near, mut far) = pair(&engine).await;
        let sent = pattern(10_000);
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        assert!(came == sent);
        // The other direction is open.
        far.write_all(b"still there").await.unwrap();
        drop(far);
        let mut came = String::new();
        near.read_to_string(&mut came).await.unwrap();
        assert_eq!(came, "still there");
    });
}

#[test]
fn what_was_written_arrives_when_the_connection_is_dropped() {
    on_each(async |engine| {
        for length in [3, 40_000] {
            let (mut near, mut far) = pair(&engine).await;
            let sent = pattern(length);
            near.write_all(&sent).await.unwrap();
            drop(near);
            let mut came = Vec::new();
            far.read_to_end(&mut came).await.unwrap();
            assert!(came == sent);
        }
    });
}

#[test]
fn what_was_written_arrives_when_the_thread_ends() {
    if probe().is_err() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let engine = Engine::io_uring().unwrap();
            let stream = TcpStream::connect(address).await.unwrap();
            let mut socket = engine.adopt(stream).unwrap();
            socket.write_all(b"last words").await.unwrap();
        });
    });
    let mut came = String::new();
    let mut peer = listener.accept().unwrap().0;
    std::io::Read::read_to_string(&mut peer, &mut came).unwrap();
    assert_eq!(came, "last words");
}

#[test]
fn a_connection_that_is_dropped_while_it_receives_is_closed() {
    on_each(async |engine| {
        let (mut near, mut far) = pair(&engine).await;
        let reads = poll_fn(|cx| Pin::new(&near).poll_read_ready(cx));
        tokio::select! {
            biased;
            ready = reads => panic!("{ready:?}"),
            () = tokio::task::yield_now() => {}
        }
        near.write_all(b"x").await.unwrap();
        far.read_exact(&mut [0]).await.unwrap();
        drop(near);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn a_reset_is_an_error_for_the_peer_and_of_the_peer() {
    on_each(async |engine| {
        let (near, mut far) = pair(&engine).await;
        near.set_zero_linger().unwrap();
        drop(near);
        let error = far.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

        let (mut near, far) = pair(&engine).await;
        far.set_zero_linger().unwrap();
        drop(far);
        let error = near.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(!near.is_quiet() || near.write_all(b"x").await.is_err());
    });
}

#[test]
fn more_connections_than_buffers_are_served() {
    on_each(async |engine| {
        let mut pairs = Vec::new();
        for _ in 0..300 {
            pairs.push(pair(&engine).await);
        }
        // Nobody reads until all have something.
        for (_, far) in &mut pairs {
            far.write_all(&pattern(30_000)).await.unwrap();
        }
        let all = pairs.iter_mut().map(|(near, far)| async move {
            let mut came = vec![0; 30_000];
            near.read_exact(&mut came).await.unwrap();
            assert!(came == pattern(30_000));
            near.write_all(&came[..100]).await.unwrap();
            far.read_exact(&mut came[..100]).await.unwrap();
        });
        join_all(all).await;
    });
}

#[test]
fn connections_come_and_go() {
    on_each(async |engine| {
        for round in 0..200 {
            let (mut near, mut far) = pair(&engine).await;
            far.write_all(b"hello").await.unwrap();
            if round % 3 > 0 {
                let mut came = [0; 5];
                near.read_exact(&mut came).await.unwrap();
                assert_eq!(&came, b"hello");
            }
            if round % 2 > 0 {
                near.write_all(b"bye").await.unwrap();
            }
        }
    });
}
