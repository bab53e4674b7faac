//! What can be wrong with the shape of a message, in Openswan's words.

/// One defect. The text is what the log line says after the prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer octets than a fixed part needs.
    #[error("not enough room in input packet for {what} (remain={remain}, needed={needed})")]
    Short {
        /// Which structure.
        what: &'static str,
        /// Octets left.
        remain: usize,
        /// Octets the structure asked for.
        needed: usize,
    },
    /// A length field that is smaller than its own header or larger than its container.
    #[error("{what} has an impossible length: {length}")]
    Length {
        /// Which structure.
        what: &'static str,
        /// The field's value.
        length: usize,
    },
    /// A reserved octet that is not zero.
    #[error("byte 2 of {what} must be zero, but is not")]
    Reserved {
        /// Which structure.
        what: &'static str,
    },
    /// A payload type nobody knows.
    #[error("next payload type of {what} has an unknown value: {value}")]
    PayloadType {
        /// Which structure names it.
        what: &'static str,
        /// The value.
        value: u8,
    },
    /// More of something than we take.
    #[error("too many {what} in one message (limit {limit})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Our limit.
        limit: usize,
    },
    /// A field with a value we cannot use.
    #[error("{what} has an unexpected value: {value}")]
    Value {
        /// Which field.
        what: &'static str,
        /// The value.
        value: u32,
    },
}
