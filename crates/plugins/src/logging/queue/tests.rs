use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Passes batches on, and fails as often as it is told.
struct Passing(Sender<Vec<Bytes>>, Mutex<u32>);

impl Sink for Passing {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        let mut failures = self.1.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("no".to_owned());
        }
        let sent = self.0.try_send(all(batch));
        sent.map_err(|error| error.to_string())
    }
}

fn all(batch: &Batch) -> Vec<Bytes> {
    batch.records().map(Bytes::copy_from_slice).collect()
}

fn shared(settings: Settings) -> Arc<Shared> {
    let delivery = Arc::default();
    Arc::new(Shared::new(settings, None, "test".to_owned(), &delivery))
}

/// Delivers in the time of the test, which passes as fast as nothing happens.
fn start(queue: &Arc<Shared>, failures: u32) -> Receiver<Vec<Bytes>> {
    let (sender, receiver) = channel(16);
    let sink = Passing(sender, Mutex::new(failures));
    tokio::spawn(Arc::clone(queue).deliver(Arc::new(sink)));
    receiver
}

fn record(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn writing(text: &'static str) -> impl FnOnce(&mut Vec<u8>) {
    |out| out.extend_from_slice(text.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn records_go_one_by_one_in_their_order() {
    let queue = shared(Settings::default());
    for text in ["a", "b", "c"] {
        queue.push(writing(text));
    }
    let mut sent = start(&queue, 0);
    for text in ["a", "b", "c"] {
        assert_eq!(sent.recv().await.unwrap(), [record(text)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_more_but_not_for_long() {
    let settings = Settings {
        max_batch_size: 3,
        ..Settings::default()
    };
    let queue = shared(settings);
    let mut sent = start(&queue, 0);
    let began = Instant::now();
    for text in ["a", "b", "c", "d"] {
        queue.push(writing(text));
    }
    assert_eq!(sent.recv().await.unwrap().len(), 3);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(sent.recv().await.unwrap(), [record("d")]);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_tried_again_and_then_given_up() {
    let queue = shared(Settings::default());
    let mut sent = start(&queue, 3);
    let began = Instant::now();
    queue.push(writing("a"));
    assert_eq!(sent.recv().await.unwrap(), [record("a")]);
    // 10, 20 and 40 ms.
    assert!(began.elapsed() >= Duration::from_millis(70));

    let settings = Settings {
        max_retry_time: 1.0,
        ..Settings::default()
    };
    let queue = shared(settings);
    // The eighth failure, after 1.27 s, is the last of the first record.
    let mut sent = start(&queue, 8);
    queue.push(writing("a"));
    queue.push(writing("b"));
    assert_eq!(sent.recv().await.unwrap(), [record("b")]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_records_go_when_there_is_no_room() {
    let settings = Settings {
        max_entries: 2,
        max_bytes: Some(5),
        ..Settings::default()
    };
    let queue = shared(settings);
    for text in ["a", "b", "c", "too long"] {
        queue.push(writing(text));
    }
    assert_eq!(all(&queue.waiting().records), [record("b"), record("c")]);
    queue.push(writing("12345"));
    assert_eq!(all(&queue.waiting().records), [record("12345")]);
    assert_eq!(queue.waiting().lost, 4);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_sent_when_the_queue_is_closed() {
    let settings = Settings {
        max_batch_size: 9,
        max_coalescing_delay: 3600.0,
        ..Settings::default()
    };
    let queue = shared(settings);
    let mut sent = start(&queue, 0);
    queue.push(writing("a"));
    queue.close();
    assert_eq!(sent.recv().await.unwrap(), [record("a")]);
    assert_eq!(sent.recv().await, None);
}
#[tokio::test(start_paused = true)]
async fn a_closed_queue_does_not_try_for_ever() {
    let settings = Settings {
        max_retry_time: 1e9,
        ..Settings::default()
    };
    let queue = shared(settings);
    let mut sent = start(&queue, u32::MAX);
    for text in ["a", "b", "c"] {
        queue.push(writing(text));
    }
    queue.close();
    let began = Instant::now();
    assert_eq!(sent.recv().await, None);
    assert!(began.elapsed() < Duration::from_secs(300));
    assert_eq!(queue.delivery.lost(), 3);
}

#[tokio::test(start_paused = true)]
async fn several_are_sent_at_once_where_that_is_allowed() {
    let settings = Settings {
        concurrency_limit: -1,
        max_batch_size: 10,
        ..Settings::default()
    };
    let queue = shared(settings);
    // The first fails and waits; the second does not wait for it.
    let mut sent = start(&queue, 1);
    queue.push(writing("a"));
    queue.push(writing("b"));
    assert_eq!(sent.recv().await.unwrap(), [record("b")]);
    assert_eq!(sent.recv().await.unwrap(), [record("a")]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_sent_when_the_node_ends() {
    let settings = Settings {
        max_batch_size: 9,
        max_coalescing_delay: 3600.0,
        ..Settings::default()
    };
    let queue = shared(settings);
    let mut sent = start(&queue, 0);
    queue.push(writing("a"));
    tokio::join!(queue.delivery.finish(Duration::from_secs(5)), async {
        assert_eq!(sent.recv().await.unwrap(), [record("a")]);
    });
}

#[test]
fn a_configuration_that_is_only_looked_at_starts_nothing() {
    let delivery = Arc::new(Delivery::default());
    let (sender, mut sent) = channel(16);
    let sink = Passing(sender, Mutex::new(0));
    let queue = Queue::new(Settings::default(), "test".to_owned(), sink, &delivery);
    assert!(sent.try_recv().is_err());
    queue.push(writing("a"));
    assert_eq!(sent.blocking_recv().unwrap(), [record("a")]);
    drop(queue);
    assert_eq!(sent.blocking_recv(), None);
}

#[tokio::test(start_paused = true)]
async fn what_cores_keep_apart_is_collected_when_a_batch_is_due() {
    let settings = Settings {
        max_batch_size: 80,
        ..Settings::default()
    };
    let queue = shared(settings);
    std::thread::scope(|scope| {
        for text in ["a", "b"] {
            let queue = &queue;
            scope.spawn(move || {
                for _ in 0..3 {
                    queue.push(writing(text));
                }
            });
        }
    });
    assert_eq!(queue.waiting().records.len(), 0);
    let mut sent = start(&queue, 0);
    let mut batch = sent.recv().await.unwrap();
    batch.sort();
    assert_eq!(batch, ["a", "a", "a", "b", "b", "b"].map(record));
    // Who sends is told again.
    queue.changed.notified().now_or_never();
    assert!(queue.push(writing("c")));
    assert!(!queue.push(writing("d")));
    queue.changed.notify_one();
    assert_eq!(sent.recv().await.unwrap(), ["c", "d"].map(record));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_full_is_handed_over_and_makes_batches_whole() {
    let settings = Settings {
        max_batch_size: 80,
        max_coalescing_delay: 3600.0,
        ..Settings::default()
    };
    let queue = shared(settings);
    let woken: Vec<bool> = (0..80).map(|_| queue.push(writing("a"))).collect();
    let wakes: Vec<usize> = (0..80).filter(|at| woken[*at]).collect();
    assert_eq!(wakes, [0, 79]);
    let mut sent = start(&queue, 0);
    let began = Instant::now();
    assert_eq!(sent.recv().await.unwrap().len(), 80);
    assert_eq!(began.elapsed(), Duration::ZERO);
}
