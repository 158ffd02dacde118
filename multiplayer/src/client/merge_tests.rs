#![allow(clippy::unwrap_used)]

use super::*;
use crate::client::tests::{frame, run};
use crate::frame::FrameBody;

fn begun(at: u64) -> Merge {
    let mut merge = Merge::new(1024 * 1024);
    merge.opened();
    assert_eq!(merge.need(), Some(Need::Snapshot));
    merge.jump(at, &mut Vec::new()).unwrap();
    assert_eq!(merge.need(), None);
    merge
}

fn some(frame: Arc<Frame>) -> Arrival {
    Arrival::Frame(frame)
}

fn push(merge: &mut Merge, arrival: Arrival) -> Vec<(u64, u64)> {
    let mut told = Vec::new();
    merge.pushed(arrival, &mut told);
    places(&told)
}

fn page(merge: &mut Merge, since: u64, frames: &[u64], last: u64) -> Result<Vec<(u64, u64)>, Broken> {
    let mut told = Vec::new();
    merge.page(since, frames.iter().map(|at| some(frame(*at))).collect(), last, &mut told)?;
    Ok(places(&told))
}

fn places(told: &[Arc<Frame>]) -> Vec<(u64, u64)> {
    told.iter().map(|frame| (frame.from, frame.sequence)).collect()
}

#[test]
fn doubles_are_told_once_and_holes_are_asked_for() {
    let mut merge = begun(4);
    assert_eq!(push(&mut merge, some(frame(5))), [(5, 5)]);
    assert_eq!(push(&mut merge, some(frame(5))), []);
    assert_eq!(push(&mut merge, some(frame(8))), []);
    assert_eq!(push(&mut merge, some(frame(8))), []);
    assert_eq!(merge.need(), Some(Need::Page(5)));
    assert_eq!(push(&mut merge, some(frame(6))), [(6, 6)]);
    assert_eq!(merge.need(), Some(Need::Page(6)));
    assert_eq!(page(&mut merge, 6, &[7], 8).unwrap(), [(7, 7), (8, 8)]);
    assert_eq!(merge.need(), None);
}

#[test]
fn a_run_that_overlaps_is_told_from_where_the_line_is() {
    let mut merge = begun(5);
    assert_eq!(push(&mut merge, some(run(3, 8))), [(6, 8)]);
    assert_eq!(push(&mut merge, some(run(7, 8))), []);
    assert_eq!(push(&mut merge, some(run(10, 11))), []);
    assert_eq!(push(&mut merge, some(run(9, 10))), [(9, 10), (11, 11)]);
}

#[test]
fn what_arrives_before_the_beginning_is_known_is_kept() {
    let mut merge = Merge::new(1024 * 1024);
    merge.opened();
    assert_eq!(push(&mut merge, some(frame(7))), []);
    assert_eq!(push(&mut merge, some(frame(5))), []);
    let mut told = Vec::new();
    merge.jump(5, &mut told).unwrap();
    assert!(told.is_empty());
    assert_eq!(merge.need(), Some(Need::Page(5)));
    assert_eq!(page(&mut merge, 5, &[6], 7).unwrap(), [(6, 6), (7, 7)]);
}

#[test]
fn what_a_new_connection_pushes_waits_for_the_first_answer() {
    let mut merge = begun(4);
    merge.opened();
    assert_eq!(push(&mut merge, some(frame(5))), []);
    assert_eq!(page(&mut merge, 4, &[5], 6).unwrap(), [(5, 5)]);
    assert_eq!(push(&mut merge, some(frame(6))), [(6, 6)]);
    merge.opened();
    assert_eq!(push(&mut merge, some(frame(7))), []);
    assert_eq!(page(&mut merge, 6, &[], 7).unwrap(), [(7, 7)], "no answer is needed for what is here");
}

#[test]
fn silence_and_a_new_connection_are_reasons_to_ask() {
    let mut merge = begun(4);
    merge.silent();
    assert_eq!(merge.need(), Some(Need::Page(4)));
    assert_eq!(page(&mut merge, 4, &[], 4).unwrap(), []);
    assert_eq!(merge.need(), None);
    merge.opened();
    assert_eq!(merge.need(), Some(Need::Page(4)));
    assert_eq!(page(&mut merge, 4, &[5], 6).unwrap(), [(5, 5)]);
    assert_eq!(merge.need(), Some(Need::Page(5)), "the host has more than it gave");
}

#[test]
fn a_large_frame_is_fetched_in_its_place() {
    let mut merge = begun(4);
    let large = Large { from: 6, sequence: 6, bytes: 3_000_000 };
    assert_eq!(push(&mut merge, Arrival::Large(large)), []);
    assert_eq!(merge.need(), Some(Need::Page(4)));
    assert_eq!(push(&mut merge, some(frame(5))), [(5, 5)]);
    assert_eq!(merge.need(), Some(Need::Large(large)));
    assert_eq!(push(&mut merge, some(frame(7))), []);
    let mut told = Vec::new();
    merge.fetched(frame(6), &mut told);
    assert_eq!(places(&told), [(6, 6), (7, 7)]);
    // Folded since it was announced: what is in its place comes by a page.
    let large = Large { from: 8, sequence: 8, bytes: 3_000_000 };
    push(&mut merge, Arrival::Large(large));
    merge.gone(large).unwrap();
    assert_eq!(merge.need(), Some(Need::Page(7)));
    let mut told = Vec::new();
    merge.page(7, vec![some(run(8, 9))], 9, &mut told).unwrap();
    assert_eq!(places(&told), [(8, 9)]);
}

#[test]
fn a_frame_that_hides_what_changed_asks_for_a_snapshot() {
    let mut merge = begun(4);
    let evicted = Arc::new(Frame::standing_from(5, 9, 0, FrameBody::Evicted));
    assert_eq!(push(&mut merge, some(evicted)), [(5, 9)]);
    assert_eq!(merge.need(), Some(Need::Snapshot));
    merge.jump(9, &mut Vec::new()).unwrap();
    assert_eq!(merge.need(), None);
}

#[test]
fn a_hole_larger_than_memory_is_jumped() {
    let mut merge = begun(4);
    merge.opened();
    assert_eq!(page(&mut merge, 4, &[5, 6], 10_000).unwrap(), [(5, 5), (6, 6)]);
    assert_eq!(merge.need(), Some(Need::Snapshot));
    merge.jump(10_003, &mut Vec::new()).unwrap();
    assert_eq!((merge.done(), merge.need()), (Some(10_003), None));
}

#[test]
fn memory_ahead_of_a_hole_is_bounded_and_what_was_dropped_is_asked_for() {
    let mut merge = Merge::new(4096);
    merge.opened();
    merge.jump(0, &mut Vec::new()).unwrap();
    for at in 2..1000 {
        assert_eq!(push(&mut merge, some(frame(at))), []);
        assert!(merge.bytes <= 4096);
    }
    assert!(merge.waiting.len() < 100);
    assert_eq!(page(&mut merge, 0, &[1], 999).unwrap()[0], (1, 1));
    let done = merge.done().unwrap();
    assert!(done > 1 && done < 999);
    assert_eq!(merge.need(), Some(Need::Page(done)));
}

#[test]
fn a_host_that_gives_nothing_of_what_it_tells_of_is_broken() {
    let mut merge = begun(4);
    push(&mut merge, some(frame(6)));
    assert_eq!(page(&mut merge, 4, &[], 6), Ok(vec![]));
    assert_eq!(page(&mut merge, 4, &[6], 6), Ok(vec![]));
    assert_eq!(page(&mut merge, 4, &[6], 6), Err(Broken::Fruitless));
    let mut merge = begun(4);
    assert_eq!(page(&mut merge, 4, &[], 3), Err(Broken::Behind { last: 3 }));
    assert_eq!(merge.jump(3, &mut Vec::new()), Err(Broken::Behind { last: 3 }));
}

#[test]
fn a_connection_that_pushes_nothing_any_more_is_found_out() {
    let mut merge = begun(4);
    for at in 5..7 {
        merge.silent();
        assert_eq!(page(&mut merge, at - 1, &[at], at).unwrap(), [(at, at)]);
    }
    // One that pushes again is well.
    push(&mut merge, some(frame(7)));
    for at in 8..10 {
        merge.silent();
        page(&mut merge, at - 1, &[at], at).unwrap();
    }
    merge.silent();
    page(&mut merge, 9, &[], 9).unwrap();
    merge.silent();
    assert_eq!(page(&mut merge, 9, &[10], 10), Err(Broken::Mute));
}

#[test]
fn what_the_host_does_not_have_after_all_is_waited_for_no_longer() {
    let mut merge = Merge::new(0);
    merge.opened();
    merge.jump(4, &mut Vec::new()).unwrap();
    assert_eq!(push(&mut merge, some(frame(9))), []);
    assert_eq!(page(&mut merge, 4, &[], 4), Ok(vec![]));
    assert_eq!(merge.need(), None);
}
