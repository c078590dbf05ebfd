//! The fencer's loop: waits for the deadline, an exit, or a line; then takes a turn. One thread, no async runtime.
//! Decides nothing itself: `guard.rs` does.

use super::connection::Connection;
use super::guard::{Guard, Reply};
use super::protocol::{
    Answer, Command, Event, Firing, FromFencer, Request, Role, VERSION, from_line, to_line,
};
use super::state_dir::StateDir;
use crate::clock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tanist_core::time::{Mono, Span};

/// Turns are taken at least this often, so that a gap of a second between two is a finding.
const TURN_EVERY: Span = Span::millis(500);
/// ... and this often while PostgreSQL is being ended.
const TURN_EVERY_FIRING: Span = Span::millis(4);
/// Then a dead disk holds a process, and haste only burns the processor.
const TURN_EVERY_STUCK: Span = Span::millis(50);
const HASTE: Span = Span::secs(2);
const CONNECTIONS_MAX: usize = 8;

pub struct Server {
    guard: Guard,
    state_dir: StateDir,
    listener: UnixListener,
    timer: OwnedFd,
    terminate: Arc<AtomicBool>,
    linger: Span,
    connections: Vec<Connection>,
    connections_made: u64,
    waiting_for_firing: Vec<(u64, u64)>,
    firing_since: Option<Mono>,
    /// No agent was there when it happened: for the next one.
    untold: Option<Firing>,
    needed_at: Mono,
}

impl Server {
    pub fn new(
        guard: Guard,
        state_dir: StateDir,
        listener: UnixListener,
        terminate: Arc<AtomicBool>,
        linger: Span,
    ) -> std::io::Result<Server> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Server {
            guard,
            state_dir,
            listener,
            timer: timerfd_create(TimerfdClockId::Boottime, flags)?,
            terminate,
            linger,
            connections: Vec::new(),
            connections_made: 0,
            waiting_for_firing: Vec::new(),
            firing_since: None,
            untold: None,
            needed_at: clock::mono(),
        })
    }

    /// Until nobody needs it any more.
    pub fn run(mut self) -> std::io::Result<()> {
        loop {
            self.set_timer()?;
            self.wait()?;
            let now = clock::mono();
            for event in self.guard.turn(now) {
                self.tell(event);
            }
            self.firing_since = match (self.guard.is_firing(), self.firing_since) {
                (true, None) => Some(now),
                (true, since) => since,
                (false, _) => None,
            };
            self.serve_connections();
            if self.should_go(clock::mono()) {
                return Ok(());
            }
        }
    }

    fn set_timer(&self) -> std::io::Result<()> {
        let until = self.guard.armed_until().unwrap_or_default();
        // Zero switches the timer off; an instant that has passed fires it at once.
        let it_value = Timespec {
            tv_sec: i64::try_from(until.0 / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: (until.0 % 1_000_000 * 1_000) as _,
        };
        let setting = Itimerspec {
            it_interval: Timespec::default(),
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        Ok(())
    }

    fn wait(&self) -> std::io::Result<()> {
        let pause = match self.firing_since {
            None if self.guard.is_firing() => TURN_EVERY_FIRING,
            None => TURN_EVERY,
            Some(since) if clock::mono().since(since) < HASTE => TURN_EVERY_FIRING,
            Some(_) => TURN_EVERY_STUCK,
        };
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: (pause.as_micros() * 1_000) as _,
        };
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        if !self.guard.is_firing() {
            // While firing, both stay readable, and the pause alone sets the pace.
            fds.push(PollFd::new(&self.timer, PollFlags::IN));
            let handle = self.guard.postmaster().and_then(|held| held.handle());
            fds.extend(handle.map(|held| PollFd::new(held, PollFlags::IN)));
        }
        for connection in &self.connections {
            fds.push(PollFd::new(connection, connection.wants()));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn tell(&mut self, event: Event) {
        if let Event::Fired(firing) = &event {
            self.state_dir.record(firing);
            let heard = self.connections.iter().any(|c| c.role == Some(Role::Agent));
            self.untold = (!heard).then(|| firing.clone());
            for (connection, id) in std::mem::take(&mut self.waiting_for_firing) {
                self.answer(connection, id, Answer::Done);
            }
        }
        let line = to_line(&FromFencer::Event(event));
        for connection in &mut self.connections {
            if connection.role == Some(Role::Agent) {
                connection.send(&line);
            }
        }
    }

    fn answer(&mut self, connection: u64, id: u64, answer: Answer) {
        let line = to_line(&FromFencer::Answer { id, answer });
        if let Some(connection) = self.connections.iter_mut().find(|c| c.number == connection) {
            connection.send(&line);
        }
    }

    fn serve_connections(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            self.admit(stream);
        }
        let mut lines = Vec::new();
        for connection in &mut self.connections {
            connection.flush();
            let number = connection.number;
            lines.extend(connection.read_lines().into_iter().map(|l| (number, l)));
        }
        for (number, line) in lines {
            self.serve_line(number, &line);
        }
        self.connections.retain(|c| !c.is_closed());
    }

    fn admit(&mut self, stream: UnixStream) {
        let Ok(peer) = socket_peercred(&stream) else {
            return;
        };
        if peer.uid != geteuid() && !peer.uid.is_root() {
            let uid = peer.uid.as_raw();
            let text = format!("turned away a caller of uid {uid}");
            return self.guard.note(clock::mono(), &text);
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            // The oldest that is no agent makes room.
            let oldest = self
                .connections
                .iter()
                .position(|c| c.role != Some(Role::Agent));
            self.connections.remove(oldest.unwrap_or(0));
        }
        self.connections_made += 1;
        self.connections
            .extend(Connection::new(self.connections_made, stream).ok());
    }

    fn serve_line(&mut self, number: u64, line: &[u8]) {
        let Some(at) = self.connections.iter().position(|c| c.number == number) else {
            return;
        };
        let request: Request = match from_line(line) {
            Ok(request) => request,
            Err(why) => {
                self.guard.note(clock::mono(), &why);
                self.connections[at].close_when_sent();
                return;
            }
        };
        let Request { id, command } = request;
        let reply = match self.may(number, self.connections[at].role, &command) {
            Ok(()) => self.guard.obey(command, clock::mono()),
            Err(why) => Reply::Now(Answer::Refused { why: why.into() }),
        };
        match reply {
            Reply::Now(answer) => self.answer(number, id, answer),
            Reply::WhenFired => self.waiting_for_firing.push((number, id)),
        }
        let agent = |c: &Connection| c.number == number && c.role == Some(Role::Agent);
        if let Some(connection) = self.connections.iter_mut().find(|c| agent(c))
            && let Some(firing) = self.untold.take()
        {
            connection.send(&to_line(&FromFencer::Event(Event::Fired(firing))));
        }
    }

    /// Who may say what. A good hello gives the caller its role, and displaces the agent before.
    fn may(
        &mut self,
        number: u64,
        role: Option<Role>,
        command: &Command,
    ) -> Result<(), &'static str> {
        match command {
            Command::Hello { version, role } => {
                if *version != VERSION {
                    return Err("another version of the protocol");
                }
                for connection in &mut self.connections {
                    if connection.number == number {
                        connection.role = Some(*role);
                    } else if *role == Role::Agent && connection.role == Some(Role::Agent) {
                        connection.send(&to_line(&FromFencer::Event(Event::Displaced)));
                        connection.close_when_sent();
                        connection.role = Some(Role::Observer);
                    }
                }
                Ok(())
            }
            Command::Ping | Command::Status | Command::Processes | Command::Diagnostics => {
                role.map(|_| ()).ok_or("say hello first")
            }
            Command::Obey(_) | Command::Spawn(_) | Command::Adopt(_) | Command::Fence { .. } => {
                match role {
                    Some(Role::Agent) => Ok(()),
                    Some(Role::Observer) => Err("an observer commands nothing"),
                    None => Err("say hello first"),
                }
            }
        }
    }

    /// Asked to end, or of no use to anybody for a while. Never while armed: SIGTERM is then ignored.
    fn should_go(&mut self, now: Mono) -> bool {
        if self.terminate.load(Ordering::Relaxed) {
            if self.guard.may_go() {
                return true;
            }
            self.terminate.store(false, Ordering::Relaxed);
            self.guard.note(now, "ignored a request to end: armed");
        }
        if !self.connections.is_empty() || !self.guard.may_go() || self.guard.postmaster().is_some()
        {
            self.needed_at = now;
        }
        if now.since(self.needed_at) < self.linger {
            return false;
        }
        // Only now the costly look at the process table.
        if self.guard.has_nothing_to_watch() {
            return true;
        }
        self.needed_at = now;
        false
    }
}
