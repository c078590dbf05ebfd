//! One HTTP/1.1 connection to one etcd member, and the few idle ones kept for the next call.
//! Knows nothing of what is asked. What matters here: whether a request surely never left.

use super::settings::{Endpoint, Scheme};
use crate::clock;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tanist_core::time::Mono;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Idle connections kept for each member.
const IDLE_MAX: usize = 4;

pub type Sender = SendRequest<Full<Bytes>>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a request has no response.
#[derive(Debug)]
pub enum Failure {
    NotSent(String),
    Unheard(String),
}

pub struct Connections {
    tls: Option<Arc<ClientConfig>>,
    idle: Mutex<BTreeMap<Endpoint, Vec<Sender>>>,
}

impl Connections {
    pub fn new(tls: Option<Arc<ClientConfig>>) -> Connections {
        Connections {
            tls,
            idle: Mutex::default(),
        }
    }

    /// An idle connection, or a new one by `until`.
    pub async fn take(&self, endpoint: &Endpoint, until: Mono) -> Result<Sender, Failure> {
        while let Some(mut sender) = self.pop_idle(endpoint) {
            if !sender.is_closed()
                && matches!(clock::before(until, sender.ready()).await, Some(Ok(())))
            {
                return Ok(sender);
            }
        }
        match clock::before(until, self.connect(endpoint)).await {
            Some(result) => result.map_err(Failure::NotSent),
            None => Err(Failure::NotSent(format!(
                "{endpoint} took no connection in time"
            ))),
        }
    }

    /// A connection whose last response was read to its end.
    pub fn put_back(&self, endpoint: &Endpoint, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(endpoint.clone()).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(sender);
        }
    }

    fn pop_idle(&self, endpoint: &Endpoint) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(endpoint)?.pop()
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Sender, String> {
        let failed = |e: &dyn std::fmt::Display| format!("cannot connect to {endpoint}: {e}");
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|e| failed(&e))?;
        tcp.set_nodelay(true).map_err(|e| failed(&e))?;
        let stream: Box<dyn Stream> = match endpoint.scheme {
            Scheme::Http => Box::new(tcp),
            Scheme::Https => {
                let tls = self
                    .tls
                    .clone()
                    .ok_or_else(|| failed(&"https was not set up"))?;
                let name = ServerName::try_from(endpoint.host.clone()).map_err(|e| failed(&e))?;
                let stream = TlsConnector::from(tls)
                    .connect(name, tcp)
                    .await
                    .map_err(|e| failed(&e))?;
                Box::new(stream)
            }
        };
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed(&e))?;
        // Ends when the sender is dropped or the member closes.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// Sends, and waits for the head of the response. A request that the connection hands back whole
/// never left it: the member had closed an idle connection.
pub async fn send(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
    endpoint: &Endpoint,
) -> Result<Response<Incoming>, Failure> {
    sender.try_send_request(request).await.map_err(|mut e| {
        let why = format!("{endpoint}: {}", e.error());
        match e.take_message() {
            Some(_) => Failure::NotSent(why),
            None => Failure::Unheard(why),
        }
    })
}
