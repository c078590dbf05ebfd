//! One HTTP request to a member, by a deadline. Tells apart a request that never left from one whose end is
//! unknown: only the first may be made in another way.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tanist_core::time::Span;
use tokio::net::TcpStream;

/// A member's recordings are the largest thing that it ever answers: 64 MiB unless configured otherwise.
const BODY_MAX: usize = 256 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a member gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reach {
    #[error("{0}; nothing was asked of it")]
    NotSent(String),
    #[error("{0}; whether it did what was asked is unknown: look before repeating")]
    Unknown(String),
}

pub async fn call(
    method: &str,
    url: &str,
    authorization: Option<&str>,
    body: Option<String>,
    budget: Span,
) -> Result<(u16, Bytes), Reach> {
    let not_sent = |why: String| Reach::NotSent(format!("{url}: {why}"));
    let unknown = |why: String| Reach::Unknown(format!("{url}: {why}"));
    let uri: hyper::Uri = url.parse().map_err(|_| not_sent("not a URL".into()))?;
    if uri.scheme_str() != Some("http") {
        return Err(not_sent("this build speaks plain HTTP only".into()));
    }
    let Some(authority) = uri.authority() else {
        return Err(not_sent("names no host".into()));
    };
    let address = (
        authority.host().trim_matches(['[', ']']),
        authority.port_u16().unwrap_or(80),
    );
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(why)) => return Err(not_sent(why.to_string())),
        Err(_) => return Err(not_sent("no connection in time".into())),
    };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|e| not_sent(e.to_string()))?;
    let mut request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |p| p.as_str()))
        .header("Host", authority.as_str())
        .header("Connection", "close");
    if let Some(value) = authorization {
        request = request.header("Authorization", value);
    }
    let request = request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|e| not_sent(e.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|e| unknown(e.to_string()))?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        let body = body.map_err(|e| unknown(e.to_string()))?;
        Ok((code, body.to_bytes()))
    };
    tokio::pin!(connection, exchange);
    let driven = async {
        tokio::select! {
            biased;
            answered = &mut exchange => answered,
            _ = &mut connection => exchange.await,
        }
    };
    let limit = Duration::from_micros(budget.as_micros());
    let answered = tokio::time::timeout(limit, driven).await;
    answered.unwrap_or_else(|_| Err(unknown("no answer in time".into())))
}
