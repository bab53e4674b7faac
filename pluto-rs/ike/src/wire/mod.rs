//! ISAKMP messages on the wire (RFC 2408 §3): from bytes to borrowed views, and back.
//!
//! Nothing here knows a state, a key or a clock. No function panics whatever the bytes are; every length is checked
//! against what contains it, and every count has a limit.

pub mod attr;
pub mod cfg;
pub mod error;
pub mod fragment;
pub mod header;
pub mod ident;
pub mod notify;
pub mod payload;
pub mod reader;
pub mod sa;
pub mod writer;

pub use attr::Attr;
pub use error::DecodeError;
pub use fragment::Fragment;
pub use header::{Cookie, Exchange, Header};
pub use payload::{Chain, Kind, Payload};
pub use sa::{Proposal, SaPayload, Transform};
pub use writer::MessageWriter;
