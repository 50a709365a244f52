//! The documented default file, written from the registry.

use std::fmt::Write as _;

use crate::registry::{Effect, Key, Scope, registry};

const WIDTH: usize = 80;

/// The text of `keelgate.conf.default`: every setting with its documentation,
/// type and default, commented out.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    paragraph(
        &mut text,
        "Settings of Keelgate. The names, types and defaults are those of Kong 3.9 where Kong has the setting.",
    );
    text.push_str("#\n");
    paragraph(
        &mut text,
        "Each line that is commented out shows a default. A variable of the environment with the name of the key in capitals and KONG_ or KEELGATE_ before it counts more than this file; KEELGATE_ counts most. Switches are on or off. Lists are separated by commas. A # begins a comment; write \\# for one in a value. A backslash at the end of a line continues it. `{vault://env/NAME}` stands for what the variable NAME holds. `keelgate check` tells what is wrong with this file and how to mend it.",
    );
    let mut section = "";
    for key in registry().filter(|key| matches!(key.effect, Effect::Full)) {
        if key.section != section {
            section = key.section;
            let _ = write!(
                text,
                "\n#{}\n# {section}\n#{}\n",
                "-".repeat(WIDTH - 1),
                "-".repeat(WIDTH - 1)
            );
        }
        describe(&mut text, key);
    }
    let _ = write!(
        text,
        "\n#{line}\n# UNDERSTOOD, WITHOUT EFFECT\n#{line}\n\n",
        line = "-".repeat(WIDTH - 1)
    );
    paragraph(
        &mut text,
        "Settings of Kong that may stand in a file and change nothing here, each with the reason. Those marked with ! get a warning at start, because what they ask for does not happen.",
    );
    text.push('\n');
    for key in registry() {
        match key.effect {
            Effect::Full => {}
            Effect::None(why) => {
                let _ = writeln!(text, "#   {}: {why}", key.name);
            }
            Effect::Missing(why) => {
                let _ = writeln!(text, "# ! {}: {why}", key.name);
            }
        }
    }
    text
}

fn describe(text: &mut String, key: &Key) {
    text.push('\n');
    paragraph(text, key.doc);
    let mut facts = format!("({}", key.kind.describe());
    if key.scope != Scope::Every {
        let _ = write!(facts, "; {}", key.scope.describe());
    }
    if key.secret {
        facts.push_str("; never shown");
    }
    facts.push(')');
    paragraph(text, &facts);
    let _ = writeln!(text, "#{} = {}", key.name, key.default);
    // A default of several listeners is long; it stays on one line, as a shell
    // user would copy it. Trailing space of an unset key is cut.
    let kept = text.trim_end().len();
    text.truncate(kept);
    text.push('\n');
}

fn paragraph(text: &mut String, doc: &str) {
    let mut line = String::from("#");
    for word in doc.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
