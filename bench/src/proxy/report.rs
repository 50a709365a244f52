//! The table, and what it says about the goals.

use super::measure::Figures;
use super::scenario::{LIMITED_WITH_KEYS, PLAIN, Scenario, TLS};
use crate::peers::Peer;
use crate::table::{self, median};

const MIB: f64 = 1024.0 * 1024.0;

/// All scenarios with the figures of each peer; none where a peer did not take part.
pub(crate) struct Report<'a> {
    pub(crate) peers: &'a [Peer],
    pub(crate) rows: Vec<(&'a Scenario, Vec<Option<Figures>>)>,
}

impl Report<'_> {
    pub(crate) fn print(&self, title: &str) {
        let header = [
            "scenario",
            "peer",
            "CPU us/request",
            "to nginx",
            "to Kong",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "RSS idle MiB",
            "loaded MiB",
        ];
        let mut rows = Vec::new();
        for (scenario, figures) in &self.rows {
            let of = |name| {
                self.figures(&scenario.name, name)
                    .map(|one| median(&one.cpu))
            };
            let (nginx, kong) = (of("nginx"), of("kong"));
            for (peer, figures) in self.peers.iter().zip(figures) {
                let Some(figures) = figures else { continue };
                let cpu = median(&figures.cpu);
                let ratio = |base: Option<f64>| {
                    base.map_or("-".to_owned(), |base| format!("{:.2}", cpu / base))
                };
                rows.push(vec![
                    scenario.name.clone(),
                    peer.name.to_owned(),
                    format!("{cpu:.1}"),
                    ratio(nginx),
                    ratio(kong),
                    format!("{:.0}", median(&figures.p50)),
                    format!("{:.0}", median(&figures.p99)),
                    format!("{:.0}", median(&figures.p999)),
                    format!("{:.1}", median(&figures.idle) / MIB),
                    format!("{:.1}", median(&figures.loaded) / MIB),
                ]);
            }
        }
        table::print(title, &header, &rows);
        table::print(
            "Goals",
            &["goal", "bound", "measured", "holds"],
            &self.goals(),
        );
    }

    fn figures(&self, scenario: &str, peer: &str) -> Option<&Figures> {
        let (_, figures) = self.rows.iter().find(|(own, _)| own.name == scenario)?;
        let at = self.peers.iter().position(|own| own.name == peer)?;
        figures[at].as_ref()
    }

    fn goals(&self) -> Vec<Vec<String>> {
        let ratio = |scenario, peer, of: fn(&Figures) -> f64| {
            let own = self.figures(scenario, "keelgate")?;
            Some(of(own) / of(self.figures(scenario, peer)?))
        };
        let cpu: fn(&Figures) -> f64 = |figures| median(&figures.cpu);
        let p99: fn(&Figures) -> f64 = |figures| median(&figures.p99);
        let more = |scenario| {
            let own = self.figures(scenario, "keelgate")?;
            let nginx = self.figures(scenario, "nginx")?;
            Some((median(&own.loaded) - median(&nginx.loaded)) / MIB)
        };
        let goal = |text: String, bound: f64, measured: Option<f64>| {
            let verdict = match measured {
                Some(measured) if measured <= bound => "yes",
                Some(_) => "no",
                None => "not measured",
            };
            vec![
                text,
                format!("{bound:.2}"),
                measured.map_or("-".to_owned(), |measured| format!("{measured:.2}")),
                verdict.to_owned(),
            ]
        };
        let about =
            |what: &str, scenario: &str, peer: &str| format!("{what}, {scenario}, to {peer}");
        let mut goals = Vec::new();
        for (scenario, peer, bound) in [
            (PLAIN, "nginx", 1.0),
            (TLS, "nginx", 0.85),
            (PLAIN, "envoy", 0.5),
            (PLAIN, "kong", 0.55),
            (LIMITED_WITH_KEYS, "kong", 0.25),
        ] {
            let measured = ratio(scenario, peer, cpu);
            goals.push(goal(about("CPU", scenario, peer), bound, measured));
        }
        for scenario in [PLAIN, TLS] {
            let measured = ratio(scenario, "nginx", p99);
            goals.push(goal(about("p99", scenario, "nginx"), 1.0, measured));
        }
        for scenario in [PLAIN, TLS] {
            let text = format!("MiB loaded above nginx, {scenario}");
            goals.push(goal(text, 20.0, more(scenario)));
        }
        goals
    }
}
