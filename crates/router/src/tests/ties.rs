//! Which of several matching routes wins.

use keelgate_entities::kinds::Route;

use super::{Request, headers, list, route, router};

/// Whether the first route wins, whatever the order and the ids.
fn first_wins(first: &Route, second: &Route, request: Request<'_>) -> bool {
    [(1, 2), (2, 1)].into_iter().all(|(a, b)| {
        let (mut first, mut second) = (first.clone(), second.clone());
        first.id = uuid::Uuid::from_u128(a);
        second.id = uuid::Uuid::from_u128(b);
        request.route(&router(&[first.clone(), second.clone()])) == Some(0)
            && request.route(&router(&[second, first])) == Some(1)
    })
}

fn with(change: impl FnOnce(&mut Route)) -> Route {
    let mut route = route(1);
    change(&mut route);
    route
}

#[test]
fn plain_hosts_beat_more_kinds_of_attributes() {
    let plain = with(|r| r.hosts = list(&["a.test"]));
    let many = with(|r| {
        r.hosts = list(&["*.test"]);
        r.paths = list(&["~/a"]);
        r.methods = list(&["GET"]);
    });
    assert!(first_wins(&plain, &many, Request::get("/a")));
}

#[test]
fn one_wildcard_host_makes_all_hosts_of_a_route_wild() {
    let mixed = with(|r| r.hosts = list(&["a.test", "*.test"]));
    let plain = with(|r| r.hosts = list(&["a.test"]));
    assert!(first_wins(&plain, &mixed, Request::get("/")));
}

#[test]
fn regular_expressions_beat_more_kinds_and_longer_prefixes() {
    let regex = with(|r| r.paths = list(&["~/a"]));
    let many = with(|r| {
        r.paths = list(&["/a/b/c"]);
        r.methods = list(&["GET"]);
    });
    assert!(first_wins(&regex, &many, Request::get("/a/b/c")));
}

#[test]
fn more_kinds_then_more_headers_then_longer_prefixes_win() {
    let request = Request {
        headers: &[("x", "1"), ("y", "1")],
        ..Request::get("/a/b")
    };
    let kinds = with(|r| {
        r.paths = list(&["/"]);
        r.methods = list(&["GET"]);
        r.headers = headers(&[("x", &["1"])]);
    });
    let two_headers = with(|r| {
        r.paths = list(&["/"]);
        r.headers = headers(&[("x", &["1"]), ("y", &["1"])]);
    });
    let long = with(|r| {
        r.paths = list(&["/a/b"]);
        r.headers = headers(&[("x", &["1"])]);
    });
    let short = with(|r| {
        r.paths = list(&["/a"]);
        r.headers = headers(&[("x", &["1"])]);
    });
    assert!(first_wins(&kinds, &two_headers, request));
    assert!(first_wins(&two_headers, &long, request));
    assert!(first_wins(&long, &short, request));
}

#[test]
fn five_kinds_rank_above_three() {
    let request = Request {
        headers: &[("x", "1")],
        ..Request::get("/a")
    };
    let three = with(|r| {
        r.hosts = list(&["*.test"]);
        r.paths = list(&["/a"]);
        r.methods = list(&["GET"]);
    });
    let mut five = three.clone();
    five.headers = headers(&[("x", &["1"])]);
    five.snis = list(&["a.test"]);
    assert!(first_wins(&five, &three, request));
    let plain = with(|r| r.hosts = list(&["a.test"]));
    assert!(first_wins(&plain, &five, request));
}

#[test]
fn the_greater_regex_priority_wins_and_counts_modulo_8192() {
    let ranked = |priority| {
        with(|r| {
            r.paths = list(&["~/a"]);
            r.regex_priority = priority;
        })
    };
    let request = Request::get("/a");
    assert!(first_wins(&ranked(2), &ranked(1), request));
    assert!(first_wins(&ranked(1), &ranked(8192), request));
    assert!(first_wins(&ranked(1 << 32 | 1), &ranked(0), request));
    assert!(first_wins(&ranked(0), &ranked(-1), request));
    assert!(first_wins(&ranked(-1), &ranked(-2), request));
}

#[test]
fn regex_priority_means_nothing_to_prefixes() {
    let low = with(|r| r.paths = list(&["/ab"]));
    let high = with(|r| {
        r.paths = list(&["/a"]);
        r.regex_priority = 100;
    });
    assert!(first_wins(&low, &high, Request::get("/ab")));
}

#[test]
fn among_equals_the_greatest_id_wins() {
    let routes: Vec<_> = [3_u128, 9, 5]
        .into_iter()
        .map(|id| {
            let mut own = route(id << 64);
            own.paths = list(&["/a"]);
            own
        })
        .collect();
    assert_eq!(Request::get("/a").route(&router(&routes)), Some(1));
}

#[test]
fn rules_of_a_route_with_unequal_paths_have_derived_ids() {
    // The rule for "/b/c" has the version 5 id of "…00b#2", which is 24016658-….
    let winner = |whole: u128| {
        let mut split = route(0xb);
        split.paths = list(&["/a", "/b/c"]);
        let mut other = route(whole << 96);
        other.paths = list(&["/b/c"]);
        Request::get("/b/c").route(&router(&[split, other]))
    };
    assert_eq!(winner(0x2401_6657), Some(0));
    assert_eq!(winner(0x2401_6659), Some(1));
}

#[test]
fn a_long_prefix_beats_a_short_one_of_another_route_path_by_path() {
    let mut both = route(1);
    both.paths = list(&["/", "/a/b"]);
    let mut middle = route(2);
    middle.paths = list(&["/a"]);
    let router = router(&[both, middle]);
    assert_eq!(Request::get("/a/b").route(&router), Some(0));
    assert_eq!(Request::get("/a/x").route(&router), Some(1));
    assert_eq!(Request::get("/x").route(&router), Some(0));
}
