//! A location that is written down is read as it was, and no message shows a password.

use keelgate_fallback::Location;

pub(crate) fn run(text: &str) {
    if let Ok(locations) = Location::parse(text) {
        for location in locations {
            let written = location.to_string();
            let again: Result<Location, _> = written.parse();
            assert_eq!(again.as_ref(), Ok(&location), "{written}");
        }
    }
    let secret = "hunter2hunter2";
    if !text.contains(['/', '?', '#', '@', ':', '\\', ',']) {
        for url in [
            format!("{text}://user:{secret}@host/path"),
            format!("s3://user:{secret}@{text}/path"),
            format!("s3://{text}:{secret}@host"),
        ] {
            if let Err(error) = Location::parse(&url) {
                assert!(!error.to_string().contains(secret), "{error}");
            }
        }
    }
}
