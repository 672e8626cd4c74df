// SPDX-License-Identifier: MIT

//! tokio's sockets without an HTTP library: one fixed answer for every read, no parsing. A lower
//! bound for a server on tokio. Argument 2 is the port.
use bench::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn serve(mut stream: TcpStream, ok: &'static [u8], json: &'static [u8]) {
    let mut buf = [0u8; 4096];
    while let Ok(n) = stream.read(&mut buf).await {
        let reply = if buf[..n].starts_with(b"GET /json") { json } else { ok };
        if n == 0 || stream.write_all(reply).await.is_err() {
            return;
        }
    }
}

fn reply(kind: &str, body: &str) -> &'static [u8] {
    let n = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {n}\r\n\r\n");
    Box::leak((head + body).into_boxed_str()).as_bytes()
}

fn main() {
    let ok = reply("text/plain", "ok");
    let json = reply("application/json", &json_body());
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let l = TcpListener::bind(("127.0.0.1", arg(2, 8080) as u16)).await.unwrap();
        loop {
            let (stream, _) = l.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream, ok, json));
        }
    });
}
