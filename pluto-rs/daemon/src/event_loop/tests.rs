//! The whole loop, with a world of the test's around it.

mod keeper;
mod names;
