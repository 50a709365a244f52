//! What the demo prints: one line per event, with the time since the beginning.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

const TIME: Style = Style::new().dimmed();
const ACTOR: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const TITLE: Style = Style::new().bold();

/// Prints events as they happen; colours vanish when the output is no terminal.
pub(crate) struct Timeline {
    start: Instant,
}

impl Timeline {
    /// Prints the title and starts the clock.
    pub(crate) fn begin(title: &str) -> Self {
        anstream::println!("{TITLE}{title}{TITLE:#}\n");
        Self {
            start: Instant::now(),
        }
    }

    /// A heading between two parts.
    pub(crate) fn part(&self, name: &str) {
        anstream::println!("\n{TITLE}{name}{TITLE:#}");
    }

    /// Something happened.
    pub(crate) fn event(&self, actor: &str, text: &str) {
        self.line(actor, text, Style::new());
    }

    /// The thing that the demo is about happened.
    pub(crate) fn success(&self, actor: &str, text: &str) {
        self.line(actor, text, GOOD);
    }

    /// Something broke, on purpose or not.
    pub(crate) fn blow(&self, actor: &str, text: &str) {
        self.line(actor, text, BAD);
    }

    fn line(&self, actor: &str, text: &str, style: Style) {
        let time = self.start.elapsed().as_millis();
        anstream::println!(
            "{TIME}{time:>6} ms{TIME:#}  {ACTOR}{actor:<15}{ACTOR:#} {style}{text}{style:#}"
        );
    }
}

/// Milliseconds with one decimal below ten, for people.
pub(crate) fn milliseconds(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else {
        format!("{millis:.0} ms")
    }
}
