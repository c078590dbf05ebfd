//! The thread that serves HTTP, and the bounds of what it takes: connections, times, sizes.
//! It has a runtime of its own, so that nothing a client does can hold the agent up.

use super::access;
use super::change::{self, Body};
use super::fresh::{Fresh, Look};
use super::outcome::{self, Reply, Shape};
use super::pending::Pending;
use super::route::{Change, Route, route};
use super::{Published, recordings, show};
use crate::clock;
use crate::settings::restapi::Credentials;
use crate::settings::section::HostPort;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tanist_core::input::Input;
use tanist_core::name::RequestId;
use tanist_core::operator::{Answer, OperatorInput};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot};

const CONNECTIONS_MAX: usize = 512;
const BODY_MAX: usize = 64 * 1024;
/// For a request's head, counted also while a kept-alive connection is idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The core ends every request by itself long before; this is for an agent that stopped deciding.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// A connection is closed after its current answer when it is this old, and cut a while later: a client
/// that stops reading must not keep its place for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(660);
const CONNECTION_GRACE: Duration = Duration::from_secs(30);

pub struct RestSettings {
    /// A host, several separated by commas, or empty, `*` or `0.0.0.0` for all.
    pub listen: HostPort,
    /// Required from whoever changes something.
    pub credentials: Option<Credentials>,
    /// Where the flight recorder writes.
    pub recordings: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error(
        "cannot listen on {address}: {why}; check `restapi.listen` and what else uses this port"
    )]
    Listen { address: String, why: io::Error },
    #[error("cannot start the REST thread: {0}")]
    Thread(io::Error),
}

/// The running server. Dropping it closes the listening sockets and every connection.
pub struct RestHandle {
    pending: Pending,
    addresses: Vec<SocketAddr>,
    _until_dropped: oneshot::Sender<Infallible>,
}

impl RestHandle {
    /// The end of a request, for whoever waits for it.
    pub fn reply(&self, request: &RequestId, answer: Answer) {
        self.pending.end(request, answer);
    }

    /// Where it listens; the ports are real ones also when port 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// What every connection needs.
struct Office {
    published: Published,
    inputs: UnboundedSender<Input>,
    pending: Pending,
    credentials: Option<Credentials>,
    recordings: PathBuf,
    fresh: Fresh,
}

/// Binds at once, so that a taken port is told at the start; serves from a thread of its own.
pub fn start(
    settings: RestSettings,
    published: Published,
    look: Look,
    inputs: UnboundedSender<Input>,
) -> Result<RestHandle, RestError> {
    let listeners = bind(&settings.listen)?;
    let addresses = listeners.iter().filter_map(|l| l.local_addr().ok());
    let addresses = addresses.collect();
    let pending = Pending::new(clock::now());
    let office = Arc::new(Office {
        published,
        inputs,
        pending: pending.clone(),
        credentials: settings.credentials,
        recordings: settings.recordings,
        fresh: Fresh::new(look),
    });
    let (until_dropped, dropped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RestError::Thread)?;
    std::thread::Builder::new()
        .name("rest".into())
        .spawn(move || runtime.block_on(serve(listeners, office, dropped)))
        .map_err(RestError::Thread)?;
    Ok(RestHandle {
        pending,
        addresses,
        _until_dropped: until_dropped,
    })
}

fn bind(listen: &HostPort) -> Result<Vec<TcpListener>, RestError> {
    let hosts = listen.host.split(',').map(str::trim);
    hosts.map(|host| bind_one(host, listen.port)).collect()
}

fn bind_one(host: &str, port: u16) -> Result<TcpListener, RestError> {
    let bound = match host {
        // Both families where the host has both; Linux gives IPv4 through the IPv6 socket.
        "" | "*" => TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))),
        host => TcpListener::bind((host.trim_matches(['[', ']']), port)),
    };
    let bound = bound.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|why| RestError::Listen {
        address: format!("{host}:{port}"),
        why,
    })
}

async fn serve(
    listeners: Vec<TcpListener>,
    office: Arc<Office>,
    dropped: oneshot::Receiver<Infallible>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for listener in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                tokio::spawn(accept(listener, office.clone(), places.clone()));
            }
            Err(why) => tracing::error!(%why, "a REST socket cannot be served"),
        }
    }
    // The sender is never used, only dropped; the runtime then ends with every task in it.
    let _ = dropped.await;
}

async fn accept(listener: tokio::net::TcpListener, office: Arc<Office>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let office = office.clone();
                tokio::spawn(async move {
                    connection(stream, office).await;
                    drop(place);
                });
            }
            // Out of file descriptors, mostly: a short pause instead of a busy loop.
            Err(why) => {
                tracing::warn!(%why, "a REST connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, office: Arc<Office>) {
    let service = hyper::service::service_fn(move |request| {
        let office = office.clone();
        async move { Ok::<_, Infallible>(answer(request, &office).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BODY_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        // How a connection ends is the client's business: it may hang up at any point.
        _ = &mut connection => return,
        () = tokio::time::sleep(CONNECTION_AGE_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(CONNECTION_GRACE, connection).await;
}

async fn answer(request: Request<Incoming>, office: &Office) -> Response<Full<Bytes>> {
    let (path, query) = (request.uri().path().to_string(), request.uri().query());
    let query = query.unwrap_or_default().to_string();
    let asked = route(request.method(), &path);
    let view = super::latest(&office.published);
    let now = clock::now();
    let reply = match asked {
        Route::Health(asked) => show::check(&view, now, &path, &query, asked),
        Route::Status => {
            let view = office.fresh.view(&view).await;
            show::status(&view, clock::now())
        }
        Route::Cluster => show::cluster(&view),
        Route::History => show::timelines(&view),
        Route::Config => show::config(&view),
        Route::Trace => show::trace(&view, now, &query),
        Route::Change(_) | Route::Recording if !is_trusted(&request, office) => {
            Reply::text(401, "no auth header received or it is wrong")
        }
        Route::Change(change) => carry_out(change, request, office).await,
        Route::Recording => recordings::reply(office.recordings.clone(), &query).await,
        Route::NotBuilt => Reply::text(501, format!("{path} is not built into this agent")),
        // patronictl recognises an older agent by these words.
        Route::Unsupported => Reply::text(501, "Server does not support this operation"),
    };
    response(reply)
}

fn is_trusted(request: &Request<Incoming>, office: &Office) -> bool {
    let header = request.headers().get(header::AUTHORIZATION);
    access::may_change(office.credentials.as_ref(), header.map(|h| h.as_bytes()))
}

async fn carry_out(change: Change, request: Request<Incoming>, office: &Office) -> Reply {
    let body = match body(request).await {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let request = match change::read(change, body, clock::now().wall) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    let Some(mut waiting) = office.pending.enter() else {
        return Reply::text(503, "too many requests are under way; try again later");
    };
    let id = waiting.id.clone();
    let input = Input::Operator(OperatorInput { id, request });
    if office.inputs.send(input).is_err() {
        return Reply::text(503, "the agent is ending");
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, &mut waiting.answer).await {
        Ok(Ok(answer)) => outcome::reply(change, answer),
        Ok(Err(_)) | Err(_) => outcome::no_word(change),
    }
}

async fn body(request: Request<Incoming>) -> Result<Body, Reply> {
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // What it asks for must not be taken for "nothing".
        return Err(Reply::text(411, "Length Required"));
    }
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return Ok(Body::Unannounced);
    }
    let collecting = Limited::new(request.into_body(), BODY_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collecting).await {
        Ok(Ok(collected)) => Ok(Body::Whole(collected.to_bytes().to_vec())),
        Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => Err(Reply::text(
            413,
            format!("a body of at most {BODY_MAX} bytes is taken"),
        )),
        Ok(Err(_)) => Err(Reply::text(400, "the body broke off")),
        Err(_) => Err(Reply::text(408, "the body did not come in time")),
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() =
        StatusCode::from_u16(reply.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = match reply.shape {
        Shape::Json => "application/json",
        Shape::Text => "text/html",
        Shape::Bare => return response,
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    if reply.code == 401 {
        headers.insert(
            header::WWW_AUTHENTICATE,
            header::HeaderValue::from_static("Basic realm=\"Tanist\""),
        );
    }
    response
}
