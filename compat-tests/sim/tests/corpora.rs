//! Every input that is kept in `compat-tests/corpora`, and every beginning of it, through its fuzz target.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

use std::fs;
use std::path::Path;

use sim::targets;

#[test]
fn kept_inputs_do_no_harm() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora");
    for (name, target) in targets::ALL {
        let mut inputs = 0;
        for file in fs::read_dir(corpora.join(name)).unwrap() {
            let data = fs::read(file.unwrap().path()).unwrap();
            inputs += 1;
            // About 16 cuts, wherever the length puts them.
            for end in (0..data.len()).step_by(data.len().div_ceil(16).max(1)).chain([data.len()]) {
                target(&data[..end]);
            }
        }
        assert!(inputs > 0, "{name} has no inputs");
    }
}
