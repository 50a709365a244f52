//! What the letters of a header name tell, found in one pass: every name of every message is
//! looked at.

/// What the letters of a header name tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letters {
    classes: u8,
    misplaced: u8,
}

/// Neither letter, digit, dash nor underscore.
const OTHER: u8 = 1;
const UNDERSCORE: u8 = 2;
const DASH: u8 = 4;
const LOWER: u8 = 8;
const UPPER: u8 = 16;

static CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'_' => UNDERSCORE,
            b'-' => DASH,
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => 0,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
};

impl Letters {
    pub(crate) fn of(name: &[u8]) -> Self {
        let (mut classes, mut misplaced, mut unexpected) = (0, 0, LOWER);
        for &byte in name {
            let class = CLASSES[usize::from(byte)];
            classes |= class;
            misplaced |= class & unexpected;
            unexpected = if class == DASH { LOWER } else { UPPER };
        }
        Self { classes, misplaced }
    }

    /// Whether the name is passed on: others (`X.Dot`, `X!Bang`) mean different things to different
    /// servers.
    pub(crate) fn are_plain(self) -> bool {
        self.classes & OTHER == 0
    }

    pub(crate) fn have_underscore(self) -> bool {
        self.classes & UNDERSCORE != 0
    }

    /// Whether every letter at the start and after a dash is upper case, and no other one is.
    pub(crate) fn are_title_case(self) -> bool {
        self.misplaced == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Letters;

    #[test]
    fn one_pass_tells_all() {
        let of = |name: &str| {
            let letters = Letters::of(name.as_bytes());
            (
                letters.are_plain(),
                letters.have_underscore(),
                letters.are_title_case(),
            )
        };
        assert_eq!(of("Content-Type"), (true, false, true));
        assert_eq!(of("X-1-A2"), (true, false, true));
        assert_eq!(of("ETag"), (true, false, false));
        assert_eq!(of("x-lower"), (true, false, false));
        assert_eq!(of("X_Under"), (true, true, false));
        assert_eq!(of("X.Dot"), (false, false, false));
        assert_eq!(of("X!"), (false, false, true));
    }
}
