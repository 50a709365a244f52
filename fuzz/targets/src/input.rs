//! How the bytes of an input are parted.

/// Hands on an input that is text.
pub(crate) fn text(bytes: &[u8], run: impl FnOnce(&str)) {
    if let Ok(text) = str::from_utf8(bytes) {
        run(text);
    }
}

/// Hands on an input whose first byte says where the others are cut in two.
pub(crate) fn cut(bytes: &[u8], run: impl FnOnce(&[u8], usize)) {
    if let Some((cut, bytes)) = bytes.split_first() {
        run(bytes, usize::from(*cut));
    }
}

/// The first lines of an input and, as the last part, all that follows; empty where there is no more.
pub(crate) fn lines<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut parts = bytes.splitn(N, |byte| *byte == b'\n');
    [(); N].map(|()| parts.next().unwrap_or_default())
}

/// Changes of single bytes, told by the first line: digits for the place, `=`, and the new byte as a number, between
/// spaces. The rest of the input follows.
pub(crate) fn edits(bytes: &[u8]) -> (Vec<(usize, u8)>, &[u8]) {
    let [told, rest] = lines(bytes);
    let edit = |word: &[u8]| {
        let (at, byte) = str::from_utf8(word).ok()?.split_once('=')?;
        Some((at.parse().ok()?, byte.parse().ok()?))
    };
    let edits = told.split(|byte| *byte == b' ').filter_map(edit);
    (edits.collect(), rest)
}
