//! One call to one etcd member over HTTP: its answer as JSON, and when its first byte was sent.
//! Knows nothing of what the JSON means, nor of other members.

use super::connection::{Connections, Failure, Sender, send};
use super::refusal::Refusal;
use super::settings::Endpoint;
use crate::clock;
use crate::secret::Secret;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::Value;
use tanist_core::time::Mono;

/// The whole of a cluster's keys is a few kilobytes; what is larger than this is not ours.
const ANSWER_BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
pub enum CallError {
    NotSent(String),
    Unheard(String),
    Refused(Refusal),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> CallError {
        match failure {
            Failure::NotSent(why) => CallError::NotSent(why),
            Failure::Unheard(why) => CallError::Unheard(why),
        }
    }
}

/// What one call brought. `sent_at`: just before the first byte could leave.
pub struct Called<T> {
    pub sent_at: Mono,
    pub result: Result<T, CallError>,
}

/// One call's addressee and its two deadlines.
pub struct Call<'a> {
    pub endpoint: &'a Endpoint,
    pub path: &'a str,
    pub token: Option<&'a Secret>,
    pub connect_until: Mono,
    pub until: Mono,
}

pub async fn get(connections: &Connections, call: &Call<'_>) -> Called<Value> {
    whole(connections, call, Method::GET, Bytes::new()).await
}

pub async fn post(connections: &Connections, call: &Call<'_>, body: &Value) -> Called<Value> {
    whole(connections, call, Method::POST, body.to_string().into()).await
}

/// A streaming call: the response's head; its body comes line by line. The sender must be kept as long
/// as the stream is read.
pub async fn stream(
    connections: &Connections,
    call: &Call<'_>,
    body: &Value,
) -> Result<(Sender, Response<Incoming>), CallError> {
    let (_, sender, response) = head(connections, call, Method::POST, body.to_string().into())
        .await
        .result?;
    if response.status().is_success() {
        return Ok((sender, response));
    }
    Err(read_refusal(call, response).await)
}

async fn whole(
    connections: &Connections,
    call: &Call<'_>,
    method: Method,
    body: Bytes,
) -> Called<Value> {
    let started = head(connections, call, method, body).await;
    let (sent_at, sender, response) = match started.result {
        Ok(head) => head,
        Err(e) => {
            return Called {
                sent_at: started.sent_at,
                result: Err(e),
            };
        }
    };
    if !response.status().is_success() {
        let refusal = read_refusal(call, response).await;
        if matches!(refusal, CallError::Refused(_)) {
            connections.put_back(call.endpoint, sender);
        }
        return Called {
            sent_at,
            result: Err(refusal),
        };
    }
    let result = read_body(call, response).await.and_then(|bytes| {
        serde_json::from_slice(&bytes)
            .map_err(|e| CallError::Unheard(format!("{}: no JSON: {e}", call.endpoint)))
    });
    if result.is_ok() {
        connections.put_back(call.endpoint, sender);
    }
    Called { sent_at, result }
}

async fn read_refusal(call: &Call<'_>, response: Response<Incoming>) -> CallError {
    let http = response.status().as_u16();
    match read_body(call, response).await {
        Ok(bytes) => CallError::Refused(Refusal::read(http, &bytes)),
        Err(e) => e,
    }
}

async fn read_body(call: &Call<'_>, response: Response<Incoming>) -> Result<Bytes, CallError> {
    let unheard =
        |why: &dyn std::fmt::Display| CallError::Unheard(format!("{}: {why}", call.endpoint));
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    match clock::before(call.until, body).await {
        Some(Ok(collected)) => Ok(collected.to_bytes()),
        Some(Err(e)) => Err(unheard(&e)),
        None => Err(unheard(&"the answer did not end in time")),
    }
}

type Head = (Mono, Sender, Response<Incoming>);

async fn head(
    connections: &Connections,
    call: &Call<'_>,
    method: Method,
    body: Bytes,
) -> Called<Head> {
    // A kept connection may turn out closed; a new one is tried after at most all kept ones.
    loop {
        let mut sender = match connections.take(call.endpoint, call.connect_until).await {
            Ok(sender) => sender,
            Err(e) => {
                return Called {
                    sent_at: clock::mono(),
                    result: Err(e.into()),
                };
            }
        };
        let request = match request(call, &method, body.clone()) {
            Ok(request) => request,
            Err(e) => {
                return Called {
                    sent_at: clock::mono(),
                    result: Err(CallError::NotSent(format!("{}: {e}", call.endpoint))),
                };
            }
        };
        let sent_at = clock::mono();
        let result =
            match clock::before(call.until, send(&mut sender, request, call.endpoint)).await {
                Some(Ok(response)) => Ok((sent_at, sender, response)),
                Some(Err(Failure::NotSent(_))) if sent_at < call.connect_until => continue,
                Some(Err(e)) => Err(e.into()),
                None => Err(CallError::Unheard(format!(
                    "{} did not answer in time",
                    call.endpoint
                ))),
            };
        return Called { sent_at, result };
    }
}

fn request(
    call: &Call<'_>,
    method: &Method,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut builder = Request::builder()
        .method(method)
        .uri(call.path)
        .header("host", call.endpoint.authority())
        .header("content-type", "application/json");
    if let Some(token) = call.token {
        builder = builder.header("authorization", token.expose());
    }
    builder.body(Full::new(body))
}
