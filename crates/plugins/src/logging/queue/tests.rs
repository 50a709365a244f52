use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Passes batches on, and fails as often as it is told.
struct Passing(Sender<Vec<Bytes>>, Mutex<u32>);

impl Sink for Passing {
    async fn send(&self, batch: &[Bytes]) -> Result<(), String> {
        let mut failures = self.1.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("no".to_owned());
        }
        let sent = self.0.try_send(batch.to_vec());
        sent.map_err(|error| error.to_string())
    }
}

fn shared(settings: Settings) -> Arc<Shared> {
    Arc::new(Shared {
        settings,
        waiting: Mutex::default(),
        changed: Notify::new(),
        name: "test".to_owned(),
        delivery: Arc::default(),
    })
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

#[tokio::test(start_paused = true)]
async fn records_go_one_by_one_in_their_order() {
    let queue = shared(Settings::default());
    for text in ["a", "b", "c"] {
        queue.push(record(text));
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
        queue.push(record(text));
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
    queue.push(record("a"));
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
    queue.push(record("a"));
    queue.push(record("b"));
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
        queue.push(record(text));
    }
    assert_eq!(queue.waiting().records, [record("b"), record("c")]);
    queue.push(record("12345"));
    assert_eq!(queue.waiting().records, [record("12345")]);
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
    queue.push(record("a"));
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
        queue.push(record(text));
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
    queue.push(record("a"));
    queue.push(record("b"));
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
    queue.push(record("a"));
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
    queue.push(record("a"));
    assert_eq!(sent.blocking_recv().unwrap(), [record("a")]);
    drop(queue);
    assert_eq!(sent.blocking_recv(), None);
}
