//! The documented file of defaults.

use std::fs;

use keelgate_settings::{reference, registry};

use crate::Node;

#[test]
fn the_documented_default_file_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../keelgate.conf.default");
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == reference(),
        "run `cargo xtask reference` to write keelgate.conf.default anew"
    );
}

#[test]
fn the_documented_default_file_sets_nothing_and_uncommented_means_the_same() {
    Node::new().file(&reference()).load();
    let uncommented: String = registry()
        .filter(|key| !["prefix", "database"].contains(&key.name))
        .map(|key| format!("{} = {}\n", key.name, key.default))
        .collect();
    let node = Node::new().file(&uncommented);
    let mut by_file = node.settings().to_json_masked();
    let mut by_default = Node::new().settings().to_json_masked();
    for json in [&mut by_file, &mut by_default] {
        json.remove("prefix");
    }
    by_file.insert("database".to_owned(), by_default["database"].clone());
    assert_eq!(by_file, by_default);
}
