//! Programs that are known by their `User-Agent`.
//!
//! The names are those of the project uap-core (ua-parser, Apache License 2.0). Versions and other
//! details that follow a name do not matter here: it suffices that the name is found.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// Finds every known program.
pub(super) static KNOWN: LazyLock<Regex> = LazyLock::new(|| {
    let rules = PATTERNS.join("|");
    Regex::new(&format!("(?-u:{rules})")).expect("they are regular expressions")
});

const PATTERNS: &[&str] = &[
    GENERAL,
    VERSIONED,
    CLOUD_STORAGE,
    LIBRARIES,
    SEARCH,
    READERS,
    PREVIEWS,
    MONITORS,
];

/// Words that programs call themselves.
const GENERAL: &str = concat!(
    r"[Ss][Pp][Ii][Dd][Ee][Rr]|[Cc][Rr][Aa][Ww][Ll]|[Ss]crape|archiver",
    r"|(?:Archiver|[Ii]ndexer|[Bb]ot)[/ ]\d",
    r"|/[A-z]+[Bb]ot[ -]\d",
);

/// Names that count with a version only.
const VERSIONED: &str = concat!(
    r"Pingdom\.com_bot_version_\d+\.\d|facebookexternalhit/\d+\.\d| PTST/\d+\.?\d+$",
    r"|/(?:Axtaris|fetchurl|Isara|ShopSalad|Tailsweep)[ -]\d",
    r"|\b(?:008|Altresium|Argus|BaiduMobaider|BoardReader|DNSGroup|DataparkSearch|EDI|Goodzer",
    r"|Grub|INGRID|Infohelfer|LOOQ|PathDefender|Peew|PostPost|Steeler|VSE|WebCrunch|WebZIP",
    r"|Y!J-BR[A-Z]|envolk|sproose|wminer)/\d",
);

/// Clients of storage services.
const CLOUD_STORAGE: &str = concat!(
    r"\b(?:Boto3?|JetS3t|s3fs|aws-(?:cli|sdk-(?:cpp|go|java|nodejs|ruby2?",
    r"|dotnet-(?:\d{1,2}|core))))/\d+\.\d",
);

/// HTTP libraries.
const LIBRARIES: &str = concat!(
    r"Google-HTTP-Java-Client|Apache-HttpClient|Go-http-client|scalaj-http|http%20client",
    r"|Python-urllib|HttpMonitor|TLSProber|WinHTTP|JNLP|okhttp|aihttp|reqwest|axios",
    r"|unirest-(?:java|python|ruby|nodejs|php|net)",
);

/// Search engines and those who walk the web for other reasons.
const SEARCH: &str = concat!(
    r"Cityreview Robot|Finderbots|Job Roboter|SiteCat Webbot|BotName/\$BotVersion|50\.nu|Aboundex",
    r"|Accoona-[A-z]{1,30}-Agent|AdsBot-Google|altavista|AppEngine-Google|archive.{0,30}\.org_bot",
    r"|Ask Jeeves|bingbot|blitzbot|boitho.com-dc|BotSeer|BUbiNG|\bYeti|[Cc]harlotte|clumboot",
    r"|Daumoa|findlinks|Flamingo_SearchEngine|FollowSite Bot|furlbot|Genieo|gigabot|gonzo1",
    r"|Googlebot|Google SketchUp|grub-client|heritrix|HiddenMarket|holmes|HooWWWer|htdig|Icarus6j",
    r"|ichiro|IlTrovatore|InfuzApp|InternetArchive|IP2[a-z]{1,30}Bot|jbot\b|KaloogaBot|Kraken",
    r"|Kurzor|larbin|LEIA|LesnikBot|Linguee Bot|LinkAider|LinkedInBot|Lite Bot|Llaut|lycos",
    r"|Mail\.RU_Bot|masscan|masidani_bot|Mediapartners-Google|Microsoft .{0,30} Bot|mogimogi",
    r"|mozDex|MJ12bot|msnbot|msrbot|netresearch|^NING|Nutch|Nymesis|ObjectsSearch|OgScrper|Orbiter",
    r"|OOZBOT|PagesInventory|PaxleFramework|PlantyNet_WebRobot|Pompos|Qwantify|Reaper|RedCarpet",
    r"|Retreiver|Riddler|Rival IQ|scooter|Scrapy|Scrubby|searchsight|seekbot|semanticdiscovery",
    r"|SemrushBot|Simpy|SEOstats|SiteCon|Slurp|snappy|TheUsefulbot|Vagabondo|VoilaBot|^vortex",
    r"|Votay bot|^voyager|WASALive.Bot|WeSEE:[A-z]|WIRE|Wotbox|www\.almaden\.ibm\.com",
    r"|Xerka [A-z]{1,30}Bot|yacy|YahooSeeker|Yandex\w|YodaoBot|Yowedo|^Zao|ZeBot_www\.ze\.bz",
    r"|ZooShot|ZyBorg",
);

/// Readers of feeds and pages.
const READERS: &str = concat!(
    r"BlogBridge|Bloglovin|BoardReader Blog Indexer|Feed Seeker Bot|Feedbin|LinkedInBot",
    r"|Mtps Feed Aggregation System|Netvibes|NewsGator|Read%20Later|SimplePie|SimpleRSS|Squrl Java",
    r"|Stringer|Tiny Tiny RSS|WordPress",
);

/// Makers of previews and pictures of pages.
const PREVIEWS: &str = concat!(
    r"Google.*/\+/web/snippet|BingPreview|BoardReader Favicon Fetcher|\b\w{0,30}favicon\w{0,30}\b",
    r"|IconSurf|PagePeeker|Peeplo Screenshot Bot|Slackbot-LinkExpanding|Slack-ImgProxy",
    r"|ThumbShotsBot|Thumbshots\.ru|Twitterbot|URL2PNG|WebThumb|WhatsApp",
);

/// Those who watch pages and check links.
const MONITORS: &str =
    r"Catchpoint|Checklinks|GomezAgent|Web-sniffer|WhatWeb|Xenu(?:.s|) Link Sleuth|YottaaMonitor";
