//! Each seed of the corpora passes, in an ordinary test run.

#![allow(clippy::unwrap_used)]

use std::path::Path;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let seeds: Vec<_> = folder.read_dir().unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds.iter().for_each(|seed| check(&std::fs::read(seed).unwrap()));
}

#[test]
fn of_cursors() {
    run("cursors", crate::cursors);
}

#[test]
fn of_records() {
    run("records", crate::records);
}

#[test]
fn of_rows() {
    run("rows", crate::rows);
}
