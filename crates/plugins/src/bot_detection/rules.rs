//! Programs that are known by their `User-Agent`.
//!
//! Most robots say what they are: their name contains a word for it, or ends in `bot` before a version. Those
//! that do not are listed by name. Programs that people use by hand, such as curl, are not robots.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// Finds every known program.
pub(super) static KNOWN: LazyLock<Regex> = LazyLock::new(|| {
    let names = [SEARCH, SOCIAL, FEEDS, ARCHIVES, MONITORS, LIBRARIES].concat();
    let names: Vec<_> = names.into_iter().map(regex::escape).collect();
    let rules = format!("(?-u:{WORDS}|{VERSIONED}|{})", names.join("|"));
    Regex::new(&rules).expect("the rules are fixed, and the names escaped")
});

/// Words that only robots have in their names.
const WORDS: &str = "(?i:spider|crawl|scrape)";

/// Endings that make a name with a version that of a robot. (`CUBOT` makes telephones.)
const VERSIONED: &str = "(?:[Bb]ot|[Ii]ndexer|[Aa]rchiver)[/ -][0-9]";

/// Search engines, also for prices, pictures and advertisements.
const SEARCH: &[&str] = &[
    "AdsBot-Google",
    "AppEngine-Google",
    "APIs-Google",
    "AddSearchBot",
    "Ask Jeeves",
    "BingPreview",
    "DuckDuckBot",
    "Daumoa",
    "FeedFetcher-Google",
    "Google Favicon",
    "Google-InspectionTool",
    "Googlebot",
    "Mail.RU_Bot",
    "Mediapartners-Google",
    "Nutch",
    "Qwantify",
    "SemrushBot",
    "Yahoo! Slurp",
    "Storebot-Google",
    "YahooSeeker",
    "YandexAccessibilityBot",
    "YandexBlogs",
    "YandexBot",
    "YandexDirect",
    "YandexFavicons",
    "YandexImages",
    "YandexMedia",
    "YandexMetrika",
    "YandexMobileBot",
    "YandexNews",
    "YandexVideo",
    "Yeti/",
    "bingbot",
    "msnbot",
    "yacybot",
];

/// Networks and messengers that look at pages which people link to.
const SOCIAL: &[&str] = &[
    "LinkedInBot",
    "Pinterestbot",
    "Slack-ImgProxy",
    "Slackbot-LinkExpanding",
    "Twitterbot",
    "WhatsApp",
    "facebookexternalhit/",
];

/// Readers of feeds, and those who keep pages to be read later.
const FEEDS: &[&str] = &[
    "BlogBridge",
    "Bloglovin",
    "Feedbin",
    "Netvibes",
    "NewsGator",
    "SimplePie",
    "SimpleRSS",
    "Tiny Tiny RSS",
    "WordPress",
];

/// Those who copy the web, or walk through it for science.
const ARCHIVES: &[&str] = &[
    "BUbiNG",
    "InternetArchive",
    "Scrapy",
    "archive.org_bot",
    "archiver",
    "heritrix",
    "htdig",
    "larbin",
    "masscan",
];

/// Those who watch pages, measure them, draw them and check their links.
const MONITORS: &[&str] = &[
    "Catchpoint",
    "Checklinks",
    "GomezAgent",
    "HttpMonitor",
    "PTST/",
    "PagePeeker",
    "Pingdom.com_bot",
    "TLSProber",
    "URL2PNG",
    "WhatWeb",
    "Xenu Link Sleuth",
    "YottaaMonitor",
];

/// Libraries whose name tells that no one chose another.
const LIBRARIES: &[&str] = &[
    "Apache-HttpClient",
    "Boto/",
    "Boto3/",
    "Go-http-client",
    "Google-HTTP-Java-Client",
    "JetS3t/",
    "Python-urllib",
    "WinHTTP",
    "aws-cli/",
    "aws-sdk-",
    "axios",
    "okhttp",
    "reqwest",
    "s3fs/",
    "scalaj-http",
    "unirest-java",
    "unirest-net",
    "unirest-nodejs",
    "unirest-php",
    "unirest-python",
    "unirest-ruby",
];
