//! The lines that `statsd` sends about a request.

use std::fmt::Write;

use bytes::Bytes;
use keelgate_entities::kinds::Service;

use super::config::{Metric, ServiceIdentifier, TagStyle, WorkspaceIdentifier};
use crate::Exchange;
use crate::logging::logger::Tell;
use crate::logging::stat::{ConsumerIdentifier, Figure, Figures, Rate, StatType, clean, dotless};
use crate::logging::{WORKSPACE_ID, WORKSPACE_NAME};

/// What is told about requests.
pub(super) struct Lines {
    pub(super) prefix: String,
    /// The name of the machine, as a tag.
    pub(super) node: String,
    pub(super) metrics: Vec<Told>,
    pub(super) tag_style: Option<TagStyle>,
    /// Ranges of statuses, both ends included; all count where there are none.
    pub(super) statuses: Option<Vec<(u16, u16)>>,
}

/// A metric, with all that it is called by.
pub(super) struct Told {
    what: What,
    kind: StatType,
    rate: Rate,
    consumer: ConsumerIdentifier,
    service: ServiceIdentifier,
    workspace: &'static str,
}

/// What a metric tells.
#[derive(Clone, Copy)]
enum What {
    Figure(Figure),
    UniqueUsers,
    RequestPerUser,
    StatusCount,
    StatusCountPerUser,
    StatusCountPerWorkspace,
    StatusCountPerUserPerRoute,
}

/// What services, consumers and the workspace are called by, where a metric does not say.
pub(super) struct Identifiers {
    pub(super) consumer: ConsumerIdentifier,
    pub(super) service: ServiceIdentifier,
    pub(super) workspace: WorkspaceIdentifier,
}

impl Told {
    /// A metric of a configuration; none for one that there is nothing to tell of.
    pub(super) fn of(metric: &Metric, otherwise: &Identifiers) -> Option<Self> {
        let what = match metric.name.as_str() {
            "unique_users" => What::UniqueUsers,
            "request_per_user" => What::RequestPerUser,
            "status_count" => What::StatusCount,
            "status_count_per_user" => What::StatusCountPerUser,
            "status_count_per_workspace" => What::StatusCountPerWorkspace,
            "status_count_per_user_per_route" => What::StatusCountPerUserPerRoute,
            // There are no shared dictionaries here.
            name => What::Figure(Figure::named(name)?),
        };
        let workspace = metric.workspace_identifier.unwrap_or(otherwise.workspace);
        Some(Self {
            what,
            kind: metric.stat_type,
            rate: Rate(metric.sample_rate),
            consumer: metric.consumer_identifier.unwrap_or(otherwise.consumer),
            service: metric.service_identifier.unwrap_or(otherwise.service),
            workspace: match workspace {
                WorkspaceIdentifier::WorkspaceId => WORKSPACE_ID,
                WorkspaceIdentifier::WorkspaceName => WORKSPACE_NAME,
            },
        })
    }

    fn consumer(&self, exchange: &Exchange<'_>) -> Option<String> {
        self.consumer.of(exchange.consumer?)
    }
}

impl Tell for Lines {
    fn tell(&self, exchange: &Exchange<'_>) -> Option<Bytes> {
        let status = exchange.response.status.as_u16();
        let concerns = |ranges: &Vec<(u16, u16)>| {
            let mut ranges = ranges.iter();
            ranges.any(|(from, to)| (*from..=*to).contains(&status))
        };
        if !self.statuses.as_ref().is_none_or(concerns) {
            return None;
        }
        let figures = Figures::of(exchange);
        let mut lines = String::with_capacity(512);
        for told in &self.metrics {
            match self.tag_style {
                Some(style) => self.tagged(&mut lines, told, &figures, exchange, style),
                None => self.named(&mut lines, told, &figures, exchange),
            };
        }
        (!lines.is_empty()).then(|| lines.into())
    }
}

impl Lines {
    /// A line whose name tells service and consumer; none where there is nothing to tell.
    fn named(
        &self,
        lines: &mut String,
        told: &Told,
        figures: &Figures,
        exchange: &Exchange<'_>,
    ) -> Option<()> {
        let scope = scope(told.service, exchange.service);
        let status = exchange.response.status.as_u16();
        let user = || told.consumer(exchange);
        let mut kind = StatType::Counter;
        let mut rate = told.rate;
        let (name, value) = match told.what {
            What::Figure(figure) => {
                kind = told.kind;
                let name = format!("{scope}.{}", figure.as_str());
                (name, figures.get(figure)?.to_string())
            }
            What::UniqueUsers => {
                kind = StatType::Set;
                rate = Rate(None);
                (format!("{scope}.user.uniques"), user()?)
            }
            What::RequestPerUser => {
                let name = format!("{scope}.user.{}.request.count", user()?);
                (name, "1".to_owned())
            }
            What::StatusCount => (format!("{scope}.status.{status}"), "1".to_owned()),
            What::StatusCountPerUser => {
                let name = format!("{scope}.user.{}.status.{status}", user()?);
                (name, "1".to_owned())
            }
            What::StatusCountPerWorkspace => {
                let name = format!("{scope}.workspace.{}.status.{status}", told.workspace);
                (name, "1".to_owned())
            }
            What::StatusCountPerUserPerRoute => {
                let route = exchange.route?.id;
                let name = format!("route.{route}.user.{}.status.{status}", user()?);
                (name, "1".to_owned())
            }
        };
        let (prefix, kind) = (&self.prefix, kind.as_str());
        writeln!(lines, "{prefix}.{name}:{value}|{kind}{rate}").ok()
    }

    /// A line with tags; none for what tags tell anyway.
    fn tagged(
        &self,
        lines: &mut String,
        told: &Told,
        figures: &Figures,
        exchange: &Exchange<'_>,
        style: TagStyle,
    ) -> Option<()> {
        let What::Figure(figure) = told.what else {
            return None;
        };
        let (prefix, name, rate) = (&self.prefix, figure.as_str(), told.rate);
        let (value, kind) = (figures.get(figure)?, told.kind.as_str());
        let tags = self.tags(told, exchange, style);
        match (style, tags) {
            (_, None) => writeln!(lines, "{prefix}.{name}:{value}|{kind}{rate}"),
            (TagStyle::Dogstatsd, Some(tags)) => {
                writeln!(lines, "{prefix}.{name}:{value}|{kind}{rate}|#{tags}")
            }
            (TagStyle::Influxdb, Some(tags)) => {
                writeln!(lines, "{prefix}.{name},{tags}:{value}|{kind}{rate}")
            }
            (TagStyle::Librato, Some(tags)) => {
                writeln!(lines, "{prefix}.{name}#{tags}:{value}|{kind}{rate}")
            }
            (TagStyle::Signalfx, Some(tags)) => {
                writeln!(lines, "{prefix}.{name}[{tags}]:{value}|{kind}{rate}")
            }
        }
        .ok()
    }

    /// None for a request without a service.
    fn tags(&self, told: &Told, exchange: &Exchange<'_>, style: TagStyle) -> Option<String> {
        let between = match style {
            TagStyle::Dogstatsd => ':',
            _ => '=',
        };
        let service = service_name(told.service, exchange.service?)?;
        let route = exchange.route.map(|route| match &route.name {
            Some(name) => clean(name),
            None => route.id.to_string(),
        });
        let all = [
            ("service", Some(service)),
            ("route", route),
            ("workspace", Some(told.workspace.to_owned())),
            ("consumer", told.consumer(exchange)),
            ("node", Some(self.node.clone())),
            (
                "status",
                Some(exchange.response.status.as_u16().to_string()),
            ),
        ];
        let mut tags = String::new();
        for (name, value) in all {
            if let Some(value) = value {
                let comma = if tags.is_empty() { "" } else { "," };
                write!(tags, "{comma}{name}{between}{value}").ok()?;
            }
        }
        Some(tags)
    }
}

fn service_name(by: ServiceIdentifier, service: &Service) -> Option<String> {
    match by {
        ServiceIdentifier::Id => Some(service.id.to_string()),
        ServiceIdentifier::Name => service.name.as_deref().map(clean),
        ServiceIdentifier::Host => Some(clean(&service.host)),
        ServiceIdentifier::NameOrHost => {
            Some(clean(service.name.as_deref().unwrap_or(&service.host)))
        }
    }
}

/// What names begin with after the prefix.
fn scope(by: ServiceIdentifier, service: Option<&Service>) -> String {
    match service {
        None => "global.unmatched".to_owned(),
        Some(service) => match service_name(by, service) {
            None => "service.unnamed".to_owned(),
            Some(name) => format!("service.{}", dotless(&name)),
        },
    }
}
