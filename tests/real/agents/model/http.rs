//! As much of HTTP as agents need to ask a model.

use std::convert::Infallible;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Tools, answer, chat, messages};

/// One answer a connection.
pub(super) async fn serve(listener: TcpListener, tools: Tools) -> Result<Infallible, io::Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(respond(stream, tools.clone()));
    }
}

async fn respond(stream: TcpStream, tools: Tools) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let answered = written(&request, &body, &tools);
    stream.get_mut().write_all(answered.as_bytes()).await?;
    stream.get_mut().shutdown().await
}

/// As the path says that the agent talks to models. What is no question to the model has no answer.
fn written(request: &str, body: &[u8], tools: &Tools) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = match path {
        path if path.ends_with("/chat/completions") => {
            let asked = chat::asked(&body);
            chat::written(&asked, &answer(&asked, tools))
        }
        path if path.ends_with("/messages") => {
            let asked = messages::asked(&body);
            messages::written(&asked, &answer(&asked, tools))
        }
        _ => return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
    };
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{text}")
}
