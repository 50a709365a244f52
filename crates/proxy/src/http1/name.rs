//! What the letters of a header name tell, found in one pass: every name of every message is
//! looked at.

/// What the letters of a header name tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letters(u8);

/// Neither letter, digit, dash nor underscore.
const OTHER: u8 = 1;
const UNDERSCORE: u8 = 2;

static CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'_' => UNDERSCORE,
            b'-' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => 0,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
};

impl Letters {
    pub(crate) fn of(name: &[u8]) -> Self {
        let classes = name.iter().map(|byte| CLASSES[usize::from(*byte)]);
        Self(classes.fold(0, |all, class| all | class))
    }

    /// Whether the name is passed on: others (`X.Dot`, `X!Bang`) mean different things to different
    /// servers.
    pub(crate) fn are_plain(self) -> bool {
        self.0 & OTHER == 0
    }

    pub(crate) fn have_underscore(self) -> bool {
        self.0 & UNDERSCORE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::Letters;

    #[test]
    fn one_pass_tells_all() {
        let of = |name: &str| {
            let letters = Letters::of(name.as_bytes());
            (letters.are_plain(), letters.have_underscore())
        };
        assert_eq!(of("Content-Type"), (true, false));
        assert_eq!(of("X-1-A2"), (true, false));
        assert_eq!(of("ETag"), (true, false));
        assert_eq!(of("x-lower"), (true, false));
        assert_eq!(of("X_Under"), (true, true));
        assert_eq!(of("X.Dot"), (false, false));
        assert_eq!(of("X!"), (false, false));
    }
}
