//! The framer beside its reference, over bytes and cuts of any kind.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{HEAD, reference};

/// Bytes that have the shape of a stream often enough.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"\n\n".to_vec()),
        2 => Just(b"id: 7\n".to_vec()),
        2 => vec(any::<u8>(), 0..6),
        1 => (0..3 * HEAD).prop_map(|length| vec![b'x'; length]),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn frames_are_the_same_however_the_bytes_come(
        input in input(),
        sizes in vec(prop_oneof![4 => 0..4_usize, 1 => 0..2 * HEAD], 0..200),
        max in prop_oneof![0..20_usize, 0..3 * HEAD],
    ) {
        reference::check(max, &input, &sizes);
    }
}
