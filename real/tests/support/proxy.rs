//! A TCP proxy that cuts a connection at a chosen moment of a chosen request. Knows nothing of etcd:
//! the request is recognised by a piece of its text.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The request arrives here and goes no further.
    BeforeSend,
    /// The request is passed on and the connection cut at once: applied or not.
    AfterSend,
    /// The answer arrives here and goes no further: applied.
    AfterApply,
}

struct Plan {
    cut: Cut,
    needle: &'static str,
    times_left: u32,
}

pub struct Proxy {
    port: u16,
    plan: Arc<Mutex<Option<Plan>>>,
}

impl Proxy {
    pub fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let own = listener.local_addr().expect("its address").port();
        let plan: Arc<Mutex<Option<Plan>>> = Arc::default();
        let shared = plan.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let plan = shared.clone();
                std::thread::spawn(move || {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                        pass(&client, &server, &plan);
                        let _ = client.shutdown(Shutdown::Both);
                        let _ = server.shutdown(Shutdown::Both);
                    }
                });
            }
        });
        Proxy { port: own, plan }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next `times` requests that contain `needle` are cut.
    pub fn cut(&self, cut: Cut, needle: &'static str, times: u32) {
        *self.plan.lock().expect("unpoisoned") = Some(Plan {
            cut,
            needle,
            times_left: times,
        });
    }

    /// How many of the planned cuts have not happened.
    pub fn cuts_left(&self) -> u32 {
        let plan = self.plan.lock().expect("unpoisoned");
        plan.as_ref().map_or(0, |plan| plan.times_left)
    }
}

/// Requests and answers in turn, as HTTP/1.1 without pipelining has them. A long answer may come in pieces.
fn pass(mut client: &TcpStream, mut server: &TcpStream, plan: &Mutex<Option<Plan>>) {
    let Ok(mut back) = server.try_clone() else {
        return;
    };
    let Ok(mut to_client) = client.try_clone() else {
        return;
    };
    let muted = Arc::new(Mutex::new(false));
    let seen = muted.clone();
    let answers = std::thread::spawn(move || {
        let mut piece = [0; 65_536];
        while let Ok(n) = back.read(&mut piece) {
            if n == 0 || *seen.lock().expect("unpoisoned") {
                break;
            }
            if to_client.write_all(&piece[..n]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut piece = [0; 65_536];
    while let Ok(n) = client.read(&mut piece) {
        if n == 0 {
            break;
        }
        match due(plan, &piece[..n]) {
            Some(Cut::BeforeSend) => break,
            Some(Cut::AfterSend) => {
                let _ = server.write_all(&piece[..n]);
                break;
            }
            Some(Cut::AfterApply) => {
                *muted.lock().expect("unpoisoned") = true;
                let _ = server.write_all(&piece[..n]);
                let _ = answers.join();
                return;
            }
            None => {
                if server.write_all(&piece[..n]).is_err() {
                    break;
                }
            }
        }
    }
    // What was passed on a moment ago may still be on its way through the kernel.
    std::thread::sleep(Duration::from_millis(1));
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
}

fn due(plan: &Mutex<Option<Plan>>, request: &[u8]) -> Option<Cut> {
    let mut plan = plan.lock().expect("unpoisoned");
    let plan = plan.as_mut().filter(|plan| plan.times_left > 0)?;
    if !String::from_utf8_lossy(request).contains(plan.needle) {
        return None;
    }
    plan.times_left -= 1;
    Some(plan.cut)
}
