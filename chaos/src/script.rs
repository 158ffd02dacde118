//! What a prompt tells the scripted agent.

use fastrand::Rng;
use sandbox_agent_testkit::script::{Script, Step};

use crate::plan::Server;

/// A script that begins with the prompt's name, so that it can be told from every other one.
pub(crate) fn prompt(rng: &mut Rng, name: &str, server: Server) -> String {
    let mut steps = vec![format!("say {name}")];
    for _ in 0..rng.usize(1..=4) {
        steps.push(step(rng, name));
    }
    // A burst costs as much as everything else together.
    let bursts = match server {
        Server::Real => 15,
        Server::Testkit => 100,
    };
    if rng.u32(..bursts) == 0 {
        steps.push(format!("stream {}", rng.u64(500..4000)));
    }
    match rng.u8(..24) {
        0..2 => steps.push(format!("exit {}", rng.u8(..3))),
        2 => steps.push(format!("fail -32001 {name}")),
        _ => {}
    }
    steps.join("; ")
}

fn step(rng: &mut Rng, name: &str) -> String {
    match rng.u8(..16) {
        0..7 => format!("stream {} rate={}", rng.u32(1..120), rng.u32(30..250)),
        7..10 => format!("think {}", rng.u32(20..1500)),
        10 => format!("tool {name}"),
        11 => format!("ask {name}"),
        12 => format!("noise not JSON {name}"),
        13 => format!("request unknown/method {{\"name\": \"{name}\"}}"),
        14 => format!("big {}", rng.u32(1_000..200_000)),
        _ => format!("after {} late {name}", rng.u32(10..1500)),
    }
}

/// Whether the agent ends its process for it.
pub(crate) fn exits(text: &str) -> bool {
    match Script::parse(text) {
        Ok(Script::Steps(steps)) => steps.iter().any(|step| matches!(step, Step::Exit(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_can_be_read() {
        let mut rng = Rng::with_seed(7);
        for number in 0..2000 {
            let text = prompt(&mut rng, &format!("p-{number}"), Server::Real);
            assert!(matches!(Script::parse(&text), Ok(Script::Steps(_))), "{text}");
        }
    }
}
