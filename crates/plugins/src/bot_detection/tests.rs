use serde_json::{Value, json};

use crate::response::Body;
use crate::testing::*;

/// The message of the refusal, if there is one.
fn refusal(config: Value, agents: &[&str]) -> Option<(u16, String)> {
    let plugin = compiled("bot-detection", config);
    let agents: Vec<_> = agents.iter().map(|agent| ("user-agent", *agent)).collect();
    let mut exchange = with_headers(exchange("GET", "/a"), &agents);
    let response = access(plugin, &mut exchange)?;
    match response.body {
        Body::Error(message) => Some((response.status.as_u16(), message)),
        other => panic!("{other:?}"),
    }
}

fn forbidden() -> Option<(u16, String)> {
    Some((403, "Forbidden".to_owned()))
}

#[test]
fn known_programs_are_refused() {
    for agent in [
        "Googlebot/2.1 (+http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "facebookexternalhit/1.1",
        "Twitterbot",
        "Baiduspider",
        "SomeCrawler",
        "webscraper",
        "Go-http-client/1.1",
        "aws-cli/1.11",
        "okhttp",
        "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1) MSIECrawler",
        "MyBot/1.0",
        "Nutch",
        "GPTBot/1.2",
        "Xenu Link Sleuth/1.3.8",
        "YandexBot",
        "Mozilla/5.0 PTST/180829.154700",
    ] {
        assert_eq!(refusal(json!({}), &[agent]), forbidden(), "{agent}");
    }
}

#[test]
fn people_and_unknown_programs_pass() {
    for agent in [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_2) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15",
        "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
        "python-requests/2",
        "Wget/1.2",
        "curl/8.5.0",
        "facebookexternalhit",
        "CUBOT/2.0",
        "abbot",
        "ArchiveX.org_bot",
        "",
    ] {
        assert_eq!(refusal(json!({}), &[agent]), None, "{agent}");
    }
    assert_eq!(refusal(json!({}), &[]), None);
}

#[test]
fn what_is_allowed_comes_before_what_is_denied() {
    let config = || json!({"allow": ["^good", "Googlebot"], "deny": ["good", "curl/[0-9]"]});
    assert_eq!(refusal(config(), &["good"]), None);
    assert_eq!(refusal(config(), &["  good "]), None);
    assert_eq!(refusal(config(), &["Googlebot/2.1"]), None);
    assert_eq!(refusal(config(), &["no good"]), forbidden());
    assert_eq!(refusal(config(), &["curl/8"]), forbidden());
    assert_eq!(refusal(config(), &["curl"]), None);
    assert_eq!(refusal(config(), &["bingbot"]), forbidden());
}

#[test]
fn only_one_name_may_be_told() {
    let message = "Only one User-Agent header allowed".to_owned();
    assert_eq!(refusal(json!({}), &["a", "b"]), Some((400, message)));
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("bot-detection", json!({})).unwrap();
    assert_eq!(config, json!({"allow": [], "deny": []}));
    compiled("bot-detection", config);
    validated("bot-detection", json!({"deny": ["("]})).unwrap_err();
    let message = refused("bot-detection", json!({"allow": ["("]}));
    assert!(message.contains("config.allow"), "{message}");
}
