//! Ports for an engine.

use std::net::{Ipv4Addr, TcpListener};

/// How far after the first port those are that the engine takes as well.
pub(crate) const PEER: u16 = 1;
pub(crate) const METRICS: u16 = 10;

/// A port that is free, as those after it are.
pub(crate) fn free() -> u16 {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    loop {
        let first = bind(0).unwrap();
        let port = first.local_addr().unwrap().port();
        let is_last = port > u16::MAX - METRICS;
        if !is_last && bind(port + PEER).is_ok() && bind(port + METRICS).is_ok() {
            return port;
        }
    }
}
