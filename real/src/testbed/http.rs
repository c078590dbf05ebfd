//! One HTTP request to an agent's REST port, blocking, with a deadline. Reads until the other side has
//! sent as much as it announced, or closes.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.body).map_err(|e| format!("{e} in `{}`", self.body))
    }
}

pub fn get(at: SocketAddr, path: &str, limit: Duration) -> Result<Answer, String> {
    request(at, "GET", path, None, limit)
}

pub fn send(
    at: SocketAddr,
    method: &str,
    path: &str,
    body: &Value,
    limit: Duration,
) -> Result<Answer, String> {
    request(at, method, path, Some(body.to_string()), limit)
}

fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    body: Option<String>,
    limit: Duration,
) -> Result<Answer, String> {
    let end = Instant::now() + limit;
    let fail = |e: std::io::Error| format!("{method} {path} at {at}: {e}");
    let mut stream = TcpStream::connect_timeout(&at, limit).map_err(fail)?;
    let body = body.unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(limit)).map_err(fail)?;
    stream.write_all((head + &body).as_bytes()).map_err(fail)?;
    let mut read = Vec::new();
    let mut buffer = [0u8; 8192];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{method} {path} at {at}: no answer in {limit:?}"));
        }
        stream.set_read_timeout(Some(left)).map_err(fail)?;
        match stream.read(&mut buffer).map_err(fail)? {
            0 => break,
            n => read.extend_from_slice(&buffer[..n]),
        }
        if is_whole(&read) {
            break;
        }
    }
    parse(&read).ok_or_else(|| format!("{method} {path} at {at}: not an HTTP answer"))
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let announced = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if !name.eq_ignore_ascii_case("content-length") {
            return None;
        }
        value.trim().parse::<usize>().ok()
    });
    announced.is_some_and(|length| body.len() >= length)
}

fn parse(read: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(read);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let code = head.split_whitespace().nth(1)?.parse().ok()?;
    let body = body.to_string();
    Some(Answer { code, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_as_much_came_as_was_announced() {
        for (read, whole) in [
            ("HTTP/1.1 200 OK\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", true),
            ("HTTP/1.0 200 OK\r\n\r\n{}", false),
        ] {
            assert_eq!(is_whole(read.as_bytes()), whole, "{read}");
        }
    }

    #[test]
    fn the_code_of_a_bare_status_line_is_read() {
        let answer = parse(b"HTTP/1.0 503 Service Unavailable\r\n").unwrap();
        assert_eq!((answer.code, answer.body.as_str()), (503, ""));
    }
}
