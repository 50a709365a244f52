//! The lines that `statsd` sends about a request.

use keelgate_entities::kinds::Service;
use uuid::Uuid;

use super::config::{Metric, ServiceIdentifier, TagStyle, WorkspaceIdentifier};
use crate::Exchange;
use crate::logging::json;
use crate::logging::logger::Tell;
use crate::logging::stat::{
    ConsumerIdentifier, Figure, Rate, Seen, StatType, write_clean, write_dotless,
};
use crate::logging::{WORKSPACE_ID, WORKSPACE_NAME};
use crate::stream::Ended;

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
    /// What its line ends with.
    end: Box<[u8]>,
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

impl What {
    /// Whether it is a count of requests that were answered with a status.
    fn is_status(self) -> bool {
        matches!(
            self,
            Self::StatusCount
                | Self::StatusCountPerUser
                | Self::StatusCountPerWorkspace
                | Self::StatusCountPerUserPerRoute
        )
    }
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
        let (kind, rate) = match what {
            What::Figure(_) => (metric.stat_type, Rate(metric.sample_rate)),
            What::UniqueUsers => (StatType::Set, Rate(None)),
            _ => (StatType::Counter, Rate(metric.sample_rate)),
        };
        Some(Self {
            what,
            end: Self::end(kind, rate),
            consumer: metric.consumer_identifier.unwrap_or(otherwise.consumer),
            service: metric.service_identifier.unwrap_or(otherwise.service),
            workspace: match workspace {
                WorkspaceIdentifier::WorkspaceId => WORKSPACE_ID,
                WorkspaceIdentifier::WorkspaceName => WORKSPACE_NAME,
            },
        })
    }

    /// What ends its line.
    fn end(kind: StatType, rate: Rate) -> Box<[u8]> {
        format!("|{}{rate}", kind.as_str()).into_bytes().into()
    }

    /// Appends what the consumer is called; none where it is called nothing.
    fn consumer(&self, seen: &Seen<'_>, out: &mut Vec<u8>) -> Option<()> {
        self.consumer.write(seen.consumer?, out).then_some(())
    }

    /// Appends what names begin with after the prefix.
    fn scope(&self, service: Option<&Service>, out: &mut Vec<u8>) {
        let Some(service) = service else {
            out.extend_from_slice(b"global.unmatched");
            return;
        };
        out.extend_from_slice(b"service.");
        match service_name(self.service, service) {
            Some(Called::Id(id)) => json::bare_id(out, id),
            Some(Called::Name(name)) => write_dotless(name, out),
            None => out.extend_from_slice(b"unnamed"),
        }
    }
}

impl Tell for Lines {
    fn tell(&self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        self.write(
            exchange.response.status.as_u16(),
            || Seen::of(exchange),
            out,
        );
    }

    fn tell_session(&self, ended: &Ended<'_>, out: &mut Vec<u8>) {
        self.write(ended.status, || Seen::of_session(ended), out);
    }
}

impl Lines {
    /// Appends all lines about what `look` finds out, where its status is of interest.
    fn write<'e>(&self, status: u16, look: impl FnOnce() -> Seen<'e>, out: &mut Vec<u8>) {
        let concerns = |ranges: &Vec<(u16, u16)>| {
            let mut ranges = ranges.iter();
            ranges.any(|(from, to)| (*from..=*to).contains(&status))
        };
        if !self.statuses.as_ref().is_none_or(concerns) {
            return;
        }
        let seen = look();
        for told in &self.metrics {
            let start = out.len();
            let line = match self.tag_style {
                Some(style) => self.tagged(out, told, &seen, style),
                None => self.named(out, told, &seen),
            };
            match line {
                Some(()) => out.push(b'\n'),
                // What was begun before it turned out that there is nothing to tell.
                None => out.truncate(start),
            }
        }
    }

    /// A line whose name tells service and consumer; none where there is nothing to tell.
    fn named(&self, out: &mut Vec<u8>, told: &Told, seen: &Seen<'_>) -> Option<()> {
        out.extend_from_slice(self.prefix.as_bytes());
        out.push(b'.');
        if let What::StatusCountPerUserPerRoute = told.what {
            out.extend_from_slice(b"route.");
            json::bare_id(out, seen.route?.id);
        } else {
            told.scope(seen.service, out);
        }
        match told.what {
            What::Figure(figure) => {
                out.push(b'.');
                out.extend_from_slice(figure.as_str().as_bytes());
                out.push(b':');
                json::number(out, seen.figure(figure)?);
            }
            What::UniqueUsers => {
                out.extend_from_slice(b".user.uniques:");
                told.consumer(seen, out)?;
            }
            What::RequestPerUser => {
                out.extend_from_slice(b".user.");
                told.consumer(seen, out)?;
                out.extend_from_slice(b".request.count:1");
            }
            What::StatusCount => {}
            What::StatusCountPerUser | What::StatusCountPerUserPerRoute => {
                out.extend_from_slice(b".user.");
                told.consumer(seen, out)?;
            }
            What::StatusCountPerWorkspace => {
                out.extend_from_slice(b".workspace.");
                out.extend_from_slice(told.workspace.as_bytes());
            }
        }
        if told.what.is_status() {
            out.extend_from_slice(b".status.");
            json::number(out, seen.status);
            out.extend_from_slice(b":1");
        }
        out.extend_from_slice(&told.end);
        Some(())
    }

    /// A line with tags; none for what tags tell anyway.
    fn tagged(
        &self,
        out: &mut Vec<u8>,
        told: &Told,
        seen: &Seen<'_>,
        style: TagStyle,
    ) -> Option<()> {
        let What::Figure(figure) = told.what else {
            return None;
        };
        let value = seen.figure(figure)?;
        let between = match style {
            TagStyle::Dogstatsd => b':',
            _ => b'=',
        };
        let tags = |out: &mut Vec<u8>, before: &[u8]| {
            let start = out.len();
            out.extend_from_slice(before);
            if self.tags(told, seen, between, out).is_none() {
                out.truncate(start);
                return false;
            }
            true
        };
        out.extend_from_slice(self.prefix.as_bytes());
        out.push(b'.');
        out.extend_from_slice(figure.as_str().as_bytes());
        match style {
            TagStyle::Dogstatsd => {}
            TagStyle::Influxdb => {
                tags(out, b",");
            }
            TagStyle::Librato => {
                tags(out, b"#");
            }
            TagStyle::Signalfx => {
                if tags(out, b"[") {
                    out.push(b']');
                }
            }
        }
        out.push(b':');
        json::number(out, value);
        out.extend_from_slice(&told.end);
        if style == TagStyle::Dogstatsd {
            tags(out, b"|#");
        }
        Some(())
    }

    /// Appends tags; none for a request without a service.
    fn tags(&self, told: &Told, seen: &Seen<'_>, between: u8, out: &mut Vec<u8>) -> Option<()> {
        let name = |out: &mut Vec<u8>, name: &[u8]| {
            out.extend_from_slice(name);
            out.push(between);
        };
        name(out, b"service");
        match service_name(told.service, seen.service?)? {
            Called::Id(id) => json::bare_id(out, id),
            Called::Name(name) => write_clean(name, out),
        }
        if let Some(route) = seen.route {
            name(out, b",route");
            match &route.name {
                Some(name) => write_clean(name, out),
                None => json::bare_id(out, route.id),
            }
        }
        name(out, b",workspace");
        out.extend_from_slice(told.workspace.as_bytes());
        let start = out.len();
        name(out, b",consumer");
        if told.consumer(seen, out).is_none() {
            out.truncate(start);
        }
        name(out, b",node");
        out.extend_from_slice(self.node.as_bytes());
        name(out, b",status");
        json::number(out, seen.status);
        Some(())
    }
}

/// What a service is called.
enum Called<'s> {
    Id(Uuid),
    Name(&'s str),
}

fn service_name(by: ServiceIdentifier, service: &Service) -> Option<Called<'_>> {
    match by {
        ServiceIdentifier::Id => Some(Called::Id(service.id)),
        ServiceIdentifier::Name => service.name.as_deref().map(Called::Name),
        ServiceIdentifier::Host => Some(Called::Name(&service.host)),
        ServiceIdentifier::NameOrHost => {
            let name = service.name.as_deref();
            Some(Called::Name(name.unwrap_or(&service.host)))
        }
    }
}
