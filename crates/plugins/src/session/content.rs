//! What a session is, and when it is over.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Seconds between two notes of a session's use.
const TOUCH_EVERY: u64 = 60;

/// What a cookie holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    #[serde(flatten)]
    pub(super) session: Session,
    /// None where that is kept elsewhere.
    #[serde(flatten)]
    pub(super) holder: Option<Holder>,
}

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    #[serde(rename = "s")]
    pub(super) subject: String,
    #[serde(rename = "u")]
    pub(super) consumer: Uuid,
    #[serde(rename = "k")]
    pub(super) credential: Uuid,
}

/// A session. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// New with each renewal.
    #[serde(rename = "i")]
    pub(super) id: Uuid,
    #[serde(rename = "c")]
    pub(super) created: u64,
    /// When it was last renewed.
    #[serde(rename = "r")]
    pub(super) renewed: u64,
    /// When a use of it was last noted.
    #[serde(rename = "t")]
    pub(super) touched: u64,
}

/// How long sessions last, in seconds; none for as long as they like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    pub(super) idling: Option<u64>,
    pub(super) rolling: Option<u64>,
    pub(super) absolute: Option<u64>,
}

/// What is due when a session is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Touch,
    Renewal,
}

impl Session {
    pub(super) fn new(now: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            created: now,
            renewed: now,
            touched: now,
        }
    }

    /// The same session under another name.
    pub(super) fn renew(&mut self, now: u64) {
        self.id = Uuid::new_v4();
        self.renewed = now;
        self.touched = now;
    }
}

impl Lifetime {
    /// Seconds until the session has idled for too long, must have been renewed, and is over in any
    /// case.
    pub(super) fn left(&self, session: &Session, now: u64) -> [Option<u64>; 3] {
        let left = |lasts: Option<u64>, since: u64| {
            lasts.map(|lasts| (since.saturating_add(lasts)).saturating_sub(now))
        };
        [
            left(self.idling, session.touched),
            left(self.rolling, session.renewed),
            left(self.absolute, session.created),
        ]
    }

    pub(super) fn is_over(&self, session: &Session, now: u64) -> bool {
        self.left(session, now).contains(&Some(0))
    }

    pub(super) fn due(&self, session: &Session, now: u64) -> Due {
        let since = |time: u64| now.saturating_sub(time);
        let renewal = |rolling: u64| since(session.renewed) > rolling / 4 * 3;
        let touch = |idling: u64| since(session.touched) > TOUCH_EVERY.min(idling / 4);
        if self.rolling.is_some_and(renewal) {
            Due::Renewal
        } else if self.idling.is_some_and(touch) {
            Due::Touch
        } else {
            Due::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Lifetime = Lifetime {
        idling: Some(900),
        rolling: Some(3600),
        absolute: Some(86_400),
    };

    fn session() -> Session {
        Session::new(1000)
    }

    #[test]
    fn a_session_that_idles_is_over() {
        let session = session();
        assert!(!LIFETIME.is_over(&session, 1899));
        assert!(LIFETIME.is_over(&session, 1900));
        assert_eq!(LIFETIME.left(&session, 1100)[0], Some(800));
    }

    #[test]
    fn use_is_noted_now_and_then_and_renews_in_time() {
        let mut session = session();
        assert_eq!(LIFETIME.due(&session, 1060), Due::Nothing);
        assert_eq!(LIFETIME.due(&session, 1061), Due::Touch);
        session.touched = 3700;
        assert_eq!(LIFETIME.due(&session, 3700), Due::Nothing);
        assert_eq!(LIFETIME.due(&session, 3701), Due::Renewal);
        let before = session.id;
        session.renew(3701);
        assert_ne!(session.id, before);
        assert_eq!(session.created, 1000);
        assert_eq!(LIFETIME.due(&session, 3701), Due::Nothing);
    }

    #[test]
    fn a_session_is_over_however_much_it_is_used() {
        let mut session = session();
        for now in (1000..87_400).step_by(600) {
            assert!(!LIFETIME.is_over(&session, now), "{now}");
            session.renew(now);
        }
        assert!(LIFETIME.is_over(&session, 87_400));
    }

    #[test]
    fn without_limits_nothing_ends_a_session() {
        let forever = Lifetime {
            idling: None,
            rolling: None,
            absolute: None,
        };
        assert!(!forever.is_over(&session(), u64::MAX));
        assert_eq!(forever.due(&session(), u64::MAX), Due::Nothing);
    }

    #[test]
    fn a_short_idling_time_is_noted_in_time() {
        let short = Lifetime {
            idling: Some(5),
            ..LIFETIME
        };
        assert_eq!(short.due(&session(), 1002), Due::Touch);
    }
}
