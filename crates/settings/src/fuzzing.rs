//! What holds of configuration files for all texts: the property behind a fuzz target.

use crate::conf_file::parse;

/// Every assignment, written on a line of its own, is read as it was.
///
/// # Panics
/// When that does not hold.
pub fn conf_file(text: &str) {
    let (assignments, errors) = parse(text);
    let lines = text.lines().count();
    assert!(assignments.len() + errors.len() <= lines);
    // A backslash at the end continues a line, so that no single line can be this assignment.
    for assignment in assignments.iter().filter(|one| !one.value.ends_with('\\')) {
        assert!((1..=lines).contains(&assignment.line));
        let value = assignment.value.replace('#', "\\#");
        let (again, errors) = parse(&format!("{} = {value}", assignment.key));
        assert_eq!(errors, []);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].key, assignment.key);
        assert_eq!(again[0].value, assignment.value);
    }
}
