// SPDX-License-Identifier: MIT

//! hyper 1 on tokio's current-thread runtime: /ok answers 2 bytes, /json 1024 bytes.
//! Argument 2 is the port; HTTP/1.1, or HTTP/2 in the clear if there is an argument 3.
use bench::*;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::{body::Incoming, server::conn::{http1, http2}, service::service_fn, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

fn reply(kind: &'static str, body: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::builder().header(CONTENT_TYPE, kind).body(Full::new(body)).unwrap())
}

fn main() {
    let json = Bytes::from(json_body());
    let h2 = std::env::args().count() > 3;
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let l = tokio::net::TcpListener::bind(("127.0.0.1", arg(2, 8080) as u16)).await.unwrap();
        loop {
            let (stream, _) = l.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let json = json.clone();
            let service = service_fn(move |r: Request<Incoming>| {
                let json = json.clone();
                async move {
                    match r.uri().path() {
                        "/json" => reply("application/json", json),
                        _ => reply("text/plain", Bytes::from_static(b"ok")),
                    }
                }
            });
            tokio::spawn(async move {
                let io = TokioIo::new(stream);
                // A client that goes away ends its connection, nothing more.
                let _ = match h2 {
                    true => http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
                    false => http1::Builder::new().serve_connection(io, service).await,
                };
            });
        }
    });
}
