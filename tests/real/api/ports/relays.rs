//! The relays alone, without a server: what each of them says when something happens in an order that a whole
//! connection meets by chance.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
/// So small that it is used up by one write of the service's.
const WINDOW: u32 = 10;
const RELAYS: [(&str, &[&str], &str); 3] = [
    ("perl", &["-e"], include_str!("../../../../src/api/ports/relay/relay.pl")),
    ("python3", &["-I", "-S", "-c"], include_str!("../../../../src/api/ports/relay/relay.py")),
    ("node", &["-e"], include_str!("../../../../src/api/ports/relay/relay.js")),
];

/// A relay, and the service that it is connected to.
struct Relay {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    service: TcpStream,
}

impl Relay {
    async fn start((program, args, script): (&str, &[&str], &str)) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let mut command = Command::new(program);
        command.args(args).arg(script).args((program == "node").then_some("--"));
        command.args([&port, &WINDOW.to_string(), "90"]).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (service, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut relay = Self { child, input, output, service };
        assert_eq!(relay.hears().await, (b'o', 0, Vec::new()), "{program}");
        relay
    }

    async fn says(&mut self, kind: u8, number: u32, data: &[u8]) {
        let words = [&[kind][..], &number.to_be_bytes(), data].concat();
        self.input.write_all(&words).await.unwrap();
    }

    /// The next frame: its letter, its number and its data.
    async fn hears(&mut self) -> (u8, u32, Vec<u8>) {
        let reading = async {
            let (kind, number) =
                (self.output.read_u8().await.unwrap(), self.output.read_u32().await.unwrap());
            let mut data = vec![0; if matches!(kind, b'd' | b'x') { number as usize } else { 0 }];
            self.output.read_exact(&mut data).await.unwrap();
            (kind, number, data)
        };
        timeout(PATIENCE, reading).await.expect("nothing comes")
    }

    /// The bytes up to this count, and then the frame that is none of them; what says that it took some is passed over.
    async fn hears_all(&mut self) -> (Vec<u8>, u8, Vec<u8>) {
        let mut all = Vec::new();
        loop {
            match self.hears().await {
                (b'd', _, data) => all.extend(data),
                (b'a', ..) => {}
                (kind, _, text) => return (all, kind, text),
            }
        }
    }

    async fn ends(mut self) {
        assert!(timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success());
    }
}

#[tokio::test]
#[ignore = "needs perl, python3 and node: cargo xtask test"]
async fn an_answer_that_was_cut_is_no_end() {
    for kind in RELAYS {
        let mut relay = Relay::start(kind).await;
        relay.service.write_all(b"0123456789").await.unwrap();
        assert_eq!(relay.hears().await, (b'd', 10, b"0123456789".to_vec()));
        // This waits for the client, and behind it the connection breaks.
        relay.service.write_all(b"abc").await.unwrap();
        relay.service.set_zero_linger().unwrap();
        let (ours, _) = service().await;
        drop(std::mem::replace(&mut relay.service, ours));
        // Writing is told of it, before anything is read.
        relay.says(b'd', 1, b"x").await;
        relay.says(b'a', 10, b"").await;
        let (_, end, why) = relay.hears_all().await;
        assert_eq!(end, b'x', "{}", kind.0);
        assert!(why.starts_with(b"broken "), "{}: {}", kind.0, String::from_utf8_lossy(&why));
        relay.ends().await;
    }
}

/// Any connection, in place of one that is dropped.
async fn service() -> (TcpStream, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    (TcpStream::connect(listener.local_addr().unwrap()).await.unwrap(), listener)
}

#[tokio::test]
#[ignore = "needs perl, python3 and node: cargo xtask test"]
async fn an_answer_is_whole_also_when_its_service_reads_no_more() {
    for kind in RELAYS {
        let mut relay = Relay::start(kind).await;
        relay.service.write_all(b"0123456789").await.unwrap();
        assert_eq!(relay.hears().await, (b'd', 10, b"0123456789".to_vec()));
        relay.service.write_all(b"abc").await.unwrap();
        let (ours, _) = service().await;
        drop(std::mem::replace(&mut relay.service, ours));
        // The first is answered by a reset, and the second fails.
        for _ in 0..2 {
            relay.says(b'd', 1, b"x").await;
            assert_eq!(relay.hears().await, (b'a', 1, Vec::new()), "{}", kind.0);
        }
        relay.says(b'a', 10, b"").await;
        assert_eq!(relay.hears().await, (b'd', 3, b"abc".to_vec()), "{}", kind.0);
        assert_eq!(relay.hears().await, (b'e', 13, Vec::new()), "{}", kind.0);
        relay.ends().await;
    }
}

#[tokio::test]
#[ignore = "needs perl, python3 and node: cargo xtask test"]
async fn what_was_said_before_takes_nothing_back() {
    for kind in RELAYS {
        let mut relay = Relay::start(kind).await;
        relay.service.write_all(b"0123456789").await.unwrap();
        assert_eq!(relay.hears().await, (b'd', 10, b"0123456789".to_vec()));
        relay.says(b'a', 10, b"").await;
        relay.says(b'a', 0, b"").await;
        // Once this is answered the others were read.
        relay.says(b'd', 1, b"x").await;
        assert_eq!(relay.hears().await, (b'a', 1, Vec::new()), "{}", kind.0);
        relay.service.write_all(b"abc").await.unwrap();
        assert_eq!(relay.hears().await, (b'd', 3, b"abc".to_vec()), "{}", kind.0);
    }
}

#[tokio::test]
#[ignore = "needs perl, python3 and node: cargo xtask test"]
async fn a_client_that_is_gone_has_not_ended() {
    for kind in RELAYS {
        for word in [None, Some(b'r')] {
            let mut relay = Relay::start(kind).await;
            relay.says(b'd', 4, b"half").await;
            assert_eq!(relay.hears().await, (b'a', 4, Vec::new()), "{}", kind.0);
            let Relay { mut child, mut input, mut service, .. } = relay;
            match word {
                Some(word) => input.write_all(&[word, 0, 0, 0, 0]).await.unwrap(),
                None => drop(input),
            }
            let outcome = timeout(PATIENCE, service.read_to_end(&mut Vec::new())).await.unwrap();
            assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "{}", kind.0);
            timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
        }
    }
}
