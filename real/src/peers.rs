//! Asks other members, directly, how they are: `GET` at their api_url, by a deadline.
//! Reads Patroni's answer and ours; decides nothing from it. A silent member is `TimedOut`, never absent.

use crate::clock;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tanist_core::peer::{PeerAnswer, PeerInput, PeerRequest};
use tanist_core::peer_json;
use tanist_core::time::{Mono, Span};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;

/// A status is some kilobytes; a member with many standbys and slots some tens.
const BODY_MAX: usize = 1 << 20;

/// Starts the request; its answer comes by `until`.
pub fn start(op: OpId, request: PeerRequest, until: Mono, inputs: UnboundedSender<Input>) {
    tokio::spawn(async move {
        let answer = ask(&request.api_url, until).await;
        // Nobody listens any more only when the agent has ended.
        let _ = inputs.send(Input::Peer(PeerInput {
            op,
            member: request.member,
            answer,
        }));
    });
}

/// What the member at `api_url` says of itself.
pub async fn ask(api_url: &str, until: Mono) -> PeerAnswer {
    match get(api_url, until).await {
        Ok((200, body)) => peer_json::read(&body),
        Ok((code, _)) => PeerAnswer::Garbled(format!("status {code}")),
        Err(NoAnswer::Refused) => PeerAnswer::Refused,
        Err(NoAnswer::Silent) => PeerAnswer::TimedOut,
        Err(NoAnswer::Garbled(why)) => PeerAnswer::Garbled(why),
    }
}

/// Does anything answer HTTP at this agent's address? Whatever it answers, somebody lives there.
pub async fn is_answering(api_url: &str, budget: Span) -> bool {
    let base = api_url.trim_end_matches("/patroni");
    let url = format!("{base}/liveness");
    matches!(
        get(&url, clock::mono() + budget).await,
        Ok(_) | Err(NoAnswer::Garbled(_))
    )
}

#[derive(Debug, PartialEq, Eq)]
enum NoAnswer {
    Refused,
    Silent,
    Garbled(String),
}

async fn get(url: &str, until: Mono) -> Result<(u16, Bytes), NoAnswer> {
    let left = Duration::from_micros(until.since(clock::mono()).as_micros());
    let answered = tokio::time::timeout(left, get_unbounded(url)).await;
    answered.unwrap_or(Err(NoAnswer::Silent))
}

async fn get_unbounded(url: &str) -> Result<(u16, Bytes), NoAnswer> {
    let garbled = |why: &str| NoAnswer::Garbled(why.to_string());
    let uri: hyper::Uri = url.parse().map_err(|_| garbled("api_url is no URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(garbled(
            "api_url is not plain HTTP, and this build speaks no TLS to members",
        ));
    }
    let host = uri.host().ok_or_else(|| garbled("api_url names no host"))?;
    let authority = uri.authority().map_or(host, |a| a.as_str()).to_string();
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| match e.kind() {
            io::ErrorKind::ConnectionRefused => NoAnswer::Refused,
            _ => NoAnswer::Silent,
        })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| garbled(&e.to_string()))?;
    let request = Request::get(uri.path_and_query().map_or("/", |p| p.as_str()))
        .header("Host", authority)
        .header("Connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| garbled(&e.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken_off)?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        let body = body.map_err(|e| garbled(&e.to_string()))?.to_bytes();
        Ok((code, body))
    };
    // The connection is driven beside the exchange and dropped with it: no task outlives the deadline.
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        answered = &mut exchange => answered,
        _ = &mut connection => exchange.await,
    }
}

/// Not HTTP is an answer of its own kind; a connection that ends without any is silence.
fn broken_off(error: hyper::Error) -> NoAnswer {
    if error.is_parse() {
        NoAnswer::Garbled(error.to_string())
    } else {
        NoAnswer::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::lsn::Lsn;
    use tanist_core::peer::PeerStatus;
    use tanist_core::timeline::TimelineId;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn status(body: &str) -> PeerStatus {
        match peer_json::read(body.as_bytes()) {
            PeerAnswer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_standby_as_patroni_tells_it() {
        let told = status(
            r#"{"state": "running", "role": "replica", "server_version": 150018, "timeline": 3,
                "xlog": {"received_location": 67419584, "replayed_location": 67419500,
                         "replayed_timestamp": null, "paused": false},
                "replication_state": "streaming", "cluster_unlocked": true,
                "tags": {"failover_priority": 2}, "patroni": {"version": "4.1.5", "scope": "demo", "name": "b"}}"#,
        );
        assert!(told.in_recovery && told.streaming && !told.sees_leader && !told.nofailover);
        assert_eq!(
            (told.timeline, told.position),
            (Some(TimelineId(3)), Lsn(67419584))
        );
        assert_eq!(told.failover_priority, 2);
    }

    #[test]
    fn a_primary_has_no_position_to_compare_and_may_be_called_master() {
        let told = status(r#"{"state": "running", "role": "primary", "xlog": {"location": 5}}"#);
        assert!(!told.in_recovery && told.sees_leader);
        assert_eq!(told.position, Lsn(0));
        let master = r#"{"state": "running", "role": "master", "xlog": {"location": 5}}"#;
        assert!(!status(master).in_recovery);
    }

    #[test]
    fn a_member_whose_sql_failed_can_be_compared_with_nobody() {
        let body = br#"{"state": "stopped", "role": "replica", "watchdog_failed": true}"#;
        assert!(matches!(peer_json::read(body), PeerAnswer::Garbled(_)));
    }

    #[test]
    fn nonsense_is_garbled_and_never_a_status() {
        for body in [
            "",
            "[]",
            "{}",
            "null",
            "{\"state\": 1, \"role\": 2}",
            "<html>",
        ] {
            let answer = peer_json::read(body.as_bytes());
            assert!(
                matches!(answer, PeerAnswer::Garbled(_)),
                "{body}: {answer:?}"
            );
        }
    }

    /// Answers one connection with `reply`, or holds it open for ever.
    async fn member(reply: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/patroni", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await.unwrap();
            match reply {
                Some(reply) => stream.write_all(reply.as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
        });
        url
    }

    fn soon() -> Mono {
        clock::mono() + Span::millis(300)
    }

    #[tokio::test]
    async fn refused_silent_and_garbled_are_three_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = format!("http://{}/patroni", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(ask(&nobody, soon()).await, PeerAnswer::Refused);
        assert_eq!(ask(&member(None).await, soon()).await, PeerAnswer::TimedOut);
        assert_eq!(
            ask(&member(Some("")).await, soon()).await,
            PeerAnswer::TimedOut
        );
        let nonsense = ask(&member(Some("SSH-2.0-OpenSSH\r\n\r\n")).await, soon()).await;
        assert!(matches!(nonsense, PeerAnswer::Garbled(_)), "{nonsense:?}");
        let tls = ask("https://127.0.0.1:1/patroni", soon()).await;
        assert!(matches!(tls, PeerAnswer::Garbled(_)), "{tls:?}");
    }

    #[tokio::test]
    async fn a_status_is_read_over_the_wire_and_a_namesake_is_seen() {
        let reply = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"state\":\"running\",\"role\":\"replica\",\"xlog\":{\"received_location\":5}}";
        let answer = ask(&member(Some(reply)).await, soon()).await;
        assert!(matches!(answer, PeerAnswer::Status(_)), "{answer:?}");
        let bare = member(Some("HTTP/1.0 503 Service Unavailable\r\n\r\n")).await;
        assert!(is_answering(&bare, Span::millis(300)).await);
        assert!(!is_answering("http://127.0.0.1:1/patroni", Span::millis(300)).await);
    }
}
