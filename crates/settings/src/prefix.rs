//! Where a node keeps its files when nobody says so.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A directory that the user can write to; `None` when the user has no home.
pub(crate) fn default_prefix(
    environment: &BTreeMap<String, String>,
    root: bool,
) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from("/var/lib/keelgate"));
    }
    let directory = |name: &str| {
        environment
            .get(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    directory("XDG_STATE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("keelgate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn it_is_writable_for_whoever_runs_the_node() {
        let home = environment(&[("HOME", "/home/u")]);
        assert_eq!(
            default_prefix(&home, true).unwrap(),
            PathBuf::from("/var/lib/keelgate")
        );
        assert_eq!(
            default_prefix(&home, false).unwrap(),
            PathBuf::from("/home/u/.local/state/keelgate")
        );
        let state = environment(&[("HOME", "/home/u"), ("XDG_STATE_HOME", "/state")]);
        assert_eq!(
            default_prefix(&state, false).unwrap(),
            PathBuf::from("/state/keelgate")
        );
        assert_eq!(default_prefix(&environment(&[]), false), None);
    }
}
