//! The load generator: as fast as it goes, or at a fixed rate.

mod stalls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use self::stalls::Stalls;
use crate::connection::{Connection, Transport};
use crate::request::{self, Request};

/// What is sent, to whom, over how many connections.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    /// Each sending picks one of them.
    pub(crate) requests: Arc<[Request]>,
    /// Requests that are under way at once.
    pub(crate) senders: usize,
    /// Whether each request has a connection of its own.
    pub(crate) connect: bool,
    /// Whether the gateway runs on other processors than this. What holds the generator up is then
    /// none of the gateway's work, and the latencies of requests that meet it do not count.
    pub(crate) apart: bool,
}

/// What came of it.
pub(crate) struct Outcome {
    /// All that were answered.
    pub(crate) requests: u64,
    /// Latencies in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// The same by the second that a request was due in.
    pub(crate) seconds: Vec<Histogram<u64>>,
}

impl Load {
    /// Sends for this long. With a rate (requests per second over all connections), a request that
    /// is late because the peer has not answered the one before counts from the moment that it was
    /// due, so that a stalled peer cannot hide its stall by slowing the generator. One that the
    /// generator's own timer, which has milliseconds, wakes late counts from its sending.
    pub(crate) fn run(&self, duration: Duration, rate: Option<f64>) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut connections = Vec::new();
            while !self.connect && connections.len() < self.senders {
                connections.extend(Connection::open(self.address, &self.transport).await?);
            }
            let mut connections = connections.into_iter();
            let start = Instant::now();
            let stalls = Arc::new(Stalls::new(start));
            let tasks: Vec<_> = (0..self.senders)
                .map(|index| {
                    let pace = rate.map(|rate| {
                        let interval = Duration::from_secs_f64(self.senders as f64 / rate);
                        (
                            start + interval.mul_f64(index as f64 / self.senders as f64),
                            interval,
                        )
                    });
                    let sender = Sender {
                        load: self.clone(),
                        connection: connections.next(),
                        stalls: Arc::clone(&stalls),
                    };
                    tokio::spawn(sender.send(start, start + duration, pace))
                })
                .collect();
            tokio::spawn(async move { stalls.beat().await });
            let mut requests = 0;
            let mut seconds: Vec<Histogram<u64>> = Vec::new();
            for task in tasks {
                let (sent, latencies) = task.await??;
                requests += sent;
                for (second, latency) in latencies.into_iter().enumerate() {
                    match seconds.get_mut(second) {
                        Some(all) => all.add(latency)?,
                        None => seconds.push(latency),
                    }
                }
            }
            let mut latency = Histogram::new(3)?;
            for second in &seconds {
                latency.add(second)?;
            }
            Ok(Outcome {
                requests,
                latency,
                seconds,
            })
        })
    }
}

/// Sends one request after the other.
struct Sender {
    load: Load,
    /// None where each request opens its own.
    connection: Option<Connection>,
    stalls: Arc<Stalls>,
}

impl Sender {
    /// How many were answered, and their latencies by second.
    async fn send(
        mut self,
        start: Instant,
        end: Instant,
        pace: Option<(Instant, Duration)>,
    ) -> anyhow::Result<(u64, Vec<Histogram<u64>>)> {
        let (mut requests, mut seconds) = (0, Vec::new());
        let mut due = pace.map_or_else(Instant::now, |(first, _)| first);
        while due < end {
            let begin = match pace {
                Some(_) if Instant::now() < due => {
                    tokio::time::sleep_until(due.into()).await;
                    Instant::now()
                }
                _ => due,
            };
            self.exchange().await?;
            let now = Instant::now();
            let second = due.saturating_duration_since(start).as_secs() as usize;
            while seconds.len() <= second {
                seconds.push(Histogram::new(3)?);
            }
            requests += 1;
            self.stalls.look(now);
            if !(self.load.apart && self.stalls.since(begin)) {
                let latency = u64::try_from((now - begin).as_micros()).unwrap_or(u64::MAX);
                seconds[second].record(latency)?;
            }
            due = match pace {
                Some((_, interval)) => due + interval,
                None => now,
            };
        }
        Ok((requests, seconds))
    }

    async fn exchange(&mut self) -> anyhow::Result<()> {
        let request = request::pick(&self.load.requests);
        if let Some(connection) = &mut self.connection {
            return connection.exchange(request).await;
        }
        let opened = Connection::open(self.load.address, &self.load.transport).await?;
        for mut connection in opened.into_iter().take(1) {
            connection.exchange(request).await?;
        }
        Ok(())
    }
}
