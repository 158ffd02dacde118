//! Fuzzes `sandbox_agent_sdk::fuzzing::archives`.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbox_agent_sdk::fuzzing::archives(bytes));

#[cfg(not(fuzzing))]
fn main() {}
