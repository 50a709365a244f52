//! The numbers that status API and Admin API expose, in Prometheus' text format.
//!
//! A node gathers its [`Facts`] when it is asked; [`render`] makes numbers of them. Every metric is
//! declared once, in one table: name, type, labels, help, and what it reads of the facts. The
//! documentation is written from the same table. Names begin with `keelgate_`, spans are in seconds,
//! points in time are Unix times. What is not known is left out, never shown as 0.
//!
//! | module | its one reason |
//! |---|---|
//! | `facts` | what is known of a node |
//! | `table` | every metric |
//! | `text` | from facts and table to text, and to documentation |

mod facts;
mod table;
mod text;

pub use facts::{
    ClusterFacts, Facts, Position, SourceFacts, StorageFacts, StreamFacts, TargetFacts,
    TrafficFacts,
};
pub use table::{Metric, MetricKind, metrics};
pub use text::{CONTENT_TYPE, reference, render};
