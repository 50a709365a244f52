//! Tables of cases: what they look like is told at the top of each.

use std::collections::HashMap;

/// One case: its lines by their marks.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) about: String,
    lines: Vec<(char, String)>,
    texts: HashMap<String, String>,
}

/// The cases of a table.
pub(crate) fn read(table: &str) -> Vec<Case> {
    let mut texts = HashMap::new();
    let mut cases: Vec<Case> = Vec::new();
    for line in table.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(text) = line.strip_prefix("let ") {
            let (name, text) = text.split_once(" = ").expect(line);
            texts.insert(name.to_owned(), text.to_owned());
            continue;
        }
        let mark = line.chars().next().expect(line);
        let text = line.get(2..).unwrap_or("").to_owned();
        if mark == '=' {
            cases.push(Case {
                about: text,
                lines: Vec::new(),
                texts: texts.clone(),
            });
        } else {
            cases.last_mut().expect(line).lines.push((mark, text));
        }
    }
    cases
}

impl Case {
    /// The lines with this mark.
    pub(crate) fn all(&self, mark: char) -> impl Iterator<Item = &str> {
        self.lines
            .iter()
            .filter(move |(own, _)| *own == mark)
            .map(|(_, text)| text.as_str())
    }

    /// The line with this mark.
    pub(crate) fn one(&self, mark: char) -> &str {
        self.all(mark)
            .next()
            .unwrap_or_else(|| panic!("{}: no line with {mark}", self.about))
    }

    /// The bytes of a line.
    pub(crate) fn bytes(&self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            match first {
                '\\' => {
                    let escape = rest.chars().next().expect(text);
                    rest = &rest[1..];
                    match escape {
                        'r' => out.push(b'\r'),
                        'n' => out.push(b'\n'),
                        't' => out.push(b'\t'),
                        '0' => out.push(0),
                        '\\' => out.push(b'\\'),
                        'x' => {
                            out.push(u8::from_str_radix(&rest[..2], 16).expect(text));
                            rest = &rest[2..];
                        }
                        _ => panic!("{}: \\{escape} has no meaning", self.about),
                    }
                }
                '{' => {
                    let (name, tail) = rest.split_once('}').expect(text);
                    rest = tail;
                    if let Some((part, times)) = name.split_once('*') {
                        out.extend_from_slice(part.repeat(times.parse().expect(text)).as_bytes());
                    } else {
                        out.extend(self.bytes(&self.texts[name]));
                    }
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out
    }
}
