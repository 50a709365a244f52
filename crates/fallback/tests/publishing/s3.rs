//! Publishers on S3 behind a network and a server that misbehave.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use keelgate_fallback::{Fencing, Location, Storage, TimeOuts, open};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, quick_settings, stored, until};
use crate::s3_proxy::{Fault, Proxy, When};
use crate::s3_server;

/// A fresh prefix, reached through a proxy.
async fn behind_a_proxy() -> (Proxy, Location, Arc<dyn Storage>) {
    let proxy = Proxy::start(&s3_server::endpoint()).await;
    let (location, _) = s3_server::fresh();
    let mut settings = proxy.settings();
    settings.time_outs = TimeOuts {
        connect: Duration::from_millis(500),
        operation: Duration::from_millis(500),
    };
    let storage = open(&location, &settings).unwrap();
    (proxy, location, storage)
}

/// The same prefix without the proxy.
fn directly(location: &Location) -> Arc<dyn Storage> {
    let (_, settings) = s3_server::fresh();
    open(location, &settings).unwrap()
}

#[tokio::test]
async fn a_server_that_ignores_or_refuses_conditions_is_used_without_them() {
    for fault in [
        Fault::IgnoreConditions,
        Fault::Refuse(501, "NotImplemented"),
        Fault::Refuse(400, "InvalidArgument"),
    ] {
        let (proxy, _, storage) = behind_a_proxy().await;
        proxy.add(When::conditional(), fault.clone());
        let cluster = Cluster::new();
        let (sender, snapshots) = watch::channel(None);
        let publisher = cluster.publisher(&storage, &snapshots);
        let status = &publisher.statuses()[0];
        let mut fetcher = cluster.fetcher(&storage);
        for revision in 1..=3 {
            sender.send_replace(Some(cluster.snapshot(revision)));
            let seen = until(status, stored(revision)).await;
            assert_eq!(seen.fencing, Some(Fencing::None), "{fault:?}");
            let fetched = fetcher.fetch(&HashSet::new()).await;
            let candidate = fetched.candidate.unwrap();
            assert_eq!(candidate.snapshot.identity().revision, revision);
        }
        publisher.stop().await;
    }
}

#[tokio::test]
async fn whatever_becomes_of_a_request_the_snapshot_is_stored_in_the_end() {
    let (config, history) = ("config.json", "");
    let (proxy, location, storage) = behind_a_proxy().await;
    let cluster = Cluster::new();
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher(&storage, &snapshots);
    let status = &publisher.statuses()[0];
    until(status, stored(1)).await;
    let mut fetcher = cluster.fetcher(&directly(&location));
    let mut revision = 1;
    for (when, fault) in [
        (When::put(config), Fault::FailAfterwards(500)),
        (When::put(history), Fault::FailAfterwards(500)),
        (
            When::put(config),
            Fault::Refuse(409, "ConditionalRequestConflict"),
        ),
        (When::put(config), Fault::FailAfterwards(412)),
        (When::put(config), Fault::Refuse(412, "PreconditionFailed")),
        (When::put(config), Fault::RefuseFor(503, "SlowDown", 1)),
        (
            When::put(config),
            Fault::RefuseFor(429, "TooManyRequests", 1),
        ),
        (When::put(config), Fault::StallAfterwards),
        (When::put(config), Fault::Stall),
        (When::put(config), Fault::Repeat),
        (When::put(history), Fault::Repeat),
        (When::put(config), Fault::Cut),
        (When::get(config), Fault::Truncate),
        (
            When::method(Method::GET, config),
            Fault::Refuse(500, "InternalError"),
        ),
    ] {
        proxy.add(when.times(2), fault.clone());
        revision += 1;
        sender.send_replace(Some(cluster.snapshot(revision)));
        let reached = timeout(Duration::from_secs(30), until(status, stored(revision))).await;
        assert!(reached.is_ok(), "{fault:?}: {:?}", status.borrow());
        let candidate = fetcher.fetch(&HashSet::new()).await.candidate.unwrap();
        assert_eq!(
            candidate.snapshot.identity().revision,
            revision,
            "{fault:?}"
        );
        proxy.heal();
    }
    publisher.stop().await;
}

#[tokio::test]
async fn a_write_that_the_network_held_for_longer_than_the_lease_does_not_take_readers_back() {
    for (fault, fencing) in [
        (None, Fencing::Compare),
        (Some(Fault::IgnoreConditions), Fencing::None),
    ] {
        let (location, _) = s3_server::fresh();
        let slow = Proxy::start(&s3_server::endpoint()).await;
        let direct = Proxy::start(&s3_server::endpoint()).await;
        let through_slow = open(&location, &slow.settings()).unwrap();
        let through_direct = open(&location, &direct.settings()).unwrap();
        let cluster = Cluster::new();
        for proxy in [&slow, &direct] {
            if let Some(fault) = &fault {
                proxy.add(When::conditional(), fault.clone());
            }
        }
        let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
        let paused = cluster.publisher_with(&quick_settings(), &through_slow, &snapshots);
        let seen = until(&paused.statuses()[0], stored(1)).await;
        assert_eq!(seen.fencing, Some(fencing));
        let writes = || {
            let seen = slow.seen();
            let configs = seen.iter().filter(|seen| {
                seen.method == Method::PUT && seen.uri.path().ends_with("config.json")
            });
            configs.count()
        };
        let before = writes();
        slow.heal();
        slow.add(When::put("config.json").once(), Fault::Hold);
        sender.send_replace(Some(cluster.snapshot(2)));
        while writes() == before {
            sleep(Duration::from_millis(10)).await;
        }
        // Nothing else leaves the paused node.
        slow.add(When::any(), Fault::Cut);
        let (_newer, snapshots) = watch::channel(Some(cluster.snapshot(3)));
        let successor = cluster.publisher_with(&quick_settings(), &through_direct, &snapshots);
        until(&successor.statuses()[0], stored(3)).await;
        slow.heal();
        let mut fetcher = cluster.fetcher(&directly(&location));
        for _ in 0..50 {
            let candidate = fetcher.fetch(&HashSet::new()).await.candidate.unwrap();
            assert_eq!(candidate.snapshot.identity().revision, 3);
            sleep(Duration::from_millis(20)).await;
        }
        until(&successor.statuses()[0], stored(3)).await;
        successor.stop().await;
        paused.stop().await;
    }
}
