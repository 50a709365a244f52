//! The place of a request in a trace.

use std::fmt;

/// The id of a span.
pub(crate) type SpanId = [u8; 8];

/// The id of a trace, and how many of its bytes are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId {
    pub(crate) bytes: [u8; 16],
    /// 16 or 8, as it came; anything else where a format allows for that.
    pub(crate) size: usize,
}

/// The place of a request in a trace, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) parent_id: Option<SpanId>,
    /// Whether others record the trace, where they say so.
    pub(crate) sampled: Option<bool>,
    /// Whether somebody looks for a fault with it.
    pub(crate) debug: bool,
    /// Whether the span is that of this request itself, and not the one that caused it.
    pub(crate) shared: bool,
    /// Whether all came in one header, where there are two ways.
    pub(crate) single: bool,
    /// What is passed along with the trace.
    pub(crate) baggage: Vec<(String, String)>,
}

impl TraceId {
    /// A new one of so many bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            bytes: fastrand::u128(1..).to_be_bytes(),
            size,
        }
        .sized(size)
    }

    /// From bytes, of which there are 16 at most.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let mut all = [0; 16];
        all.get_mut(16usize.checked_sub(bytes.len())?..)?
            .copy_from_slice(bytes);
        Some(Self {
            bytes: all,
            size: bytes.len(),
        })
    }

    /// With so many bytes: zeros are put before it, or its first bytes go.
    pub(crate) fn sized(mut self, size: usize) -> Self {
        let size = size.min(16);
        self.bytes[..16 - size].fill(0);
        self.size = size;
        self
    }

    /// The bytes that are meant.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[16 - self.size.min(16)..]
    }

    /// The same number in every process for the same trace, evenly from 0 to 1.
    pub(crate) fn chance(&self) -> f64 {
        let last = u128::from_be_bytes(self.bytes) as u64;
        // The upper bits, as many as a number has.
        (last >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(32);
        write_hexadecimal(self.as_bytes(), &mut digits);
        f.write_str(str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A new id of a span.
pub(crate) fn new_span_id() -> SpanId {
    fastrand::u64(1..).to_be_bytes()
}

/// The id of a trace, as a format tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToldId {
    Hexadecimal(TraceId),
    Decimal(u64),
    None,
}

impl ToldId {
    /// Appends it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hexadecimal(id) => write_hexadecimal(id.as_bytes(), out),
            Self::Decimal(id) => write_decimal(*id, out),
            Self::None => {}
        }
    }
}

/// Appends the digits of bytes.
pub(crate) fn write_hexadecimal(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS[usize::from(value & 0xf)];
    out.extend(
        bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(*byte)]),
    );
}

/// Appends the digits of a number.
pub(crate) fn write_decimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
