//! What real PostgreSQL answers to the script that the simulator's fake is held to: through the agent's adapter where
//! that does it, by SQL and signals where it happens past the agent. Compared with the transcript that is kept;
//! `make fidelity` writes it anew.

use super::support::{Member, Room, in_room_telling};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tanist::postgres::process;
use tanist_core::postgres::{Ended, Observation};
use tanist_core::time::Span;
use tanist_sim::fidelity::postgres::Line;
use tanist_sim::fidelity::postgres::answer::{Answer, Commit, How, Refusal, Seen};
use tanist_sim::fidelity::postgres::names::Names;
use tanist_sim::fidelity::postgres::script::script;
use tanist_sim::fidelity::postgres::step::{Deed, Lane, Over, Server, Side, Step, Until};
use tanist_sim::fidelity::transcript::{parse, parting, print};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

/// How long a statement or a new session may take, and a look at a server.
const ANSWER: Duration = Duration::from_secs(4);
const LOOK: Span = Span::secs(4);
const COMES_ABOUT_IN: Duration = Duration::from_secs(40);

const TABLES: &str = "CREATE TABLE rows (n int); CREATE TABLE filler (n int); \
    CREATE TABLE ticks (at timestamptz); \
    CREATE PROCEDURE tick() LANGUAGE plpgsql AS $$ BEGIN \
        LOOP INSERT INTO ticks VALUES (clock_timestamp()); COMMIT; END LOOP; END $$";

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/tests/fidelity/postgres.jsonl")
}

/// Three servers, and what the application has open on them.
struct Bench {
    room: Room,
    chapters: u32,
    members: Vec<Member>,
    sessions: Vec<Option<Client>>,
    looping: Option<Client>,
    begun: Option<Begun>,
    names: Names,
    commits: u32,
    killed_at: SystemTime,
}

/// A commit that nobody stays for.
struct Begun {
    backend: process::Proc,
    commits: JoinHandle<Commit>,
}

impl Bench {
    fn new(room: Room) -> Bench {
        Bench {
            room,
            chapters: 0,
            members: Vec::new(),
            sessions: Vec::new(),
            looping: None,
            begun: None,
            names: Names::new(Vec::new()),
            commits: 0,
            killed_at: SystemTime::UNIX_EPOCH,
        }
    }

    fn begin_chapter(&mut self) {
        self.room.end_servers();
        self.chapters += 1;
        let folder = self.room.dir.join(self.chapters.to_string());
        std::fs::create_dir(&folder).unwrap();
        let member = |server: &Server| self.room.member_in(&folder, server.name());
        self.members = Server::ALL.iter().map(member).collect();
        self.sessions = Server::ALL.iter().map(|_| None).collect();
        self.looping = None;
        self.begun = None;
        let addresses = self
            .members
            .iter()
            .map(|m| m.settings.connect_address.clone());
        self.names = Names::new(addresses.collect());
        self.commits = 0;
    }

    async fn step(&mut self, step: &Step) -> Option<Answer> {
        match step {
            Step::Anew => {
                self.begin_chapter();
                None
            }
            Step::Wait(long) => {
                tokio::time::sleep(Duration::from_micros(long.as_micros())).await;
                None
            }
            Step::On(on, deed) => {
                let seen = self.deed(*on, deed).await;
                self.names.answer(deed, seen)
            }
        }
    }

    fn member(&mut self, on: Server) -> &mut Member {
        &mut self.members[on.index()]
    }

    async fn deed(&mut self, on: Server, deed: &Deed) -> Seen {
        match deed {
            Deed::Operate(lane) => return self.operate(on, lane).await,
            Deed::Attend(side) => return self.attend(on, side).await,
            Deed::Look | Deed::LookClosely => return Seen::Observed(self.look(on).await),
            Deed::Mark(name) => {
                let seen = self.look(on).await;
                return Seen::CameAbout(self.names.mark(name, &seen));
            }
            Deed::Rows => return Seen::Rows(self.rows(on).await),
            Deed::Await(until) => return Seen::CameAbout(self.comes_about(on, until).await),
            Deed::Commit(over) => return Seen::Commit(self.commit(on, *over).await),
            Deed::BegunCommit => return Seen::Commit(self.became_of_begun().await),
            Deed::LoopWentOn => return Seen::CameAbout(self.loop_went_on(on).await),
            Deed::BeginCommit => self.begin_commit(on).await,
            Deed::CancelWait => {
                let begun = self.begun.as_ref().expect("a commit that was begun");
                process::signal(begun.backend, Signal::INT).unwrap();
            }
            Deed::Fill => {
                let insert = "INSERT INTO filler SELECT generate_series(1, 20000)";
                self.execute(on, insert).await.unwrap();
            }
            Deed::Segments(number) => {
                for _ in 0..*number {
                    self.execute(on, "INSERT INTO filler VALUES (0)")
                        .await
                        .unwrap();
                    self.execute(on, "SELECT pg_switch_wal()").await.unwrap();
                }
            }
            Deed::LimitSlots(segments) => {
                let limit = format!(
                    "ALTER SYSTEM SET max_slot_wal_keep_size = '{}MB'",
                    segments * 16
                );
                self.execute(on, &limit).await.unwrap();
                self.execute(on, "SELECT pg_reload_conf()").await.unwrap();
                // The checkpointer reads it when it next wakes.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Deed::CloseSession => self.sessions[on.index()] = None,
            Deed::BeginLoop => self.begin_loop(on).await,
            Deed::AskToStop => self.signal(on, Signal::TERM),
            Deed::KillPostmaster => {
                self.signal(on, Signal::KILL);
                self.killed_at = SystemTime::now();
            }
            Deed::FreezePostmaster => self.signal(on, Signal::STOP),
            Deed::ThawPostmaster => self.signal(on, Signal::CONT),
            Deed::KillBackend => self.kill_backend(on).await,
            Deed::PauseReplay => {
                let pause = self.execute(on, "SELECT pg_wal_replay_pause()");
                pause.await.unwrap();
            }
            // The server may end over it before it answers.
            Deed::ResumeReplay => drop(self.execute(on, "SELECT pg_wal_replay_resume()").await),
        }
        Seen::Nothing
    }

    async fn operate(&mut self, on: Server, lane: &Lane) -> Seen {
        let operation = self.names.operation(on, lane);
        let member = self.member(on);
        let ended = member.operate(operation).await;
        let left = member.seen.clone().expect("a look comes before the end");
        match (lane, &ended) {
            (Lane::PostBootstrap, Ended::Done) => member.sql(TABLES).await,
            (Lane::Start(_), Ended::Done) => self.open_session(on).await,
            (_, Ended::Failed(why)) => eprintln!("{}: {lane:?}: {why}", on.name()),
            (_, _) => {}
        }
        Seen::Ended(ended, left)
    }

    async fn attend(&mut self, on: Server, side: &Side) -> Seen {
        let task = self.names.side_task(on, side);
        let task = task.expect("the script speaks of marks that it has set");
        Seen::Attended(self.member(on).side(task).await)
    }

    async fn look(&mut self, on: Server) -> Observation {
        self.member(on).probe_within(LOOK).await
    }

    async fn comes_about(&mut self, on: Server, until: &Until) -> bool {
        let deadline = Instant::now() + COMES_ABOUT_IN;
        while Instant::now() < deadline {
            let other = match until {
                Until::CaughtUp(other) | Until::HasCheckpointOf(other) => {
                    Some(self.look(*other).await)
                }
                Until::Answers
                | Until::Gone
                | Until::Streams
                | Until::OnTimeline(_)
                | Until::ReplayPaused
                | Until::SlotPast(..) => None,
            };
            let seen = self.look(on).await;
            if self.names.holds(until, &seen, other.as_ref()) {
                if *until == Until::Answers {
                    self.open_session(on).await;
                }
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    async fn open_session(&mut self, on: Server) {
        if self.sessions[on.index()]
            .as_ref()
            .is_none_or(Client::is_closed)
        {
            self.sessions[on.index()] = self.new_session(on).await;
        }
    }

    async fn new_session(&self, on: Server) -> Option<Client> {
        let client = self.members[on.index()].try_client();
        tokio::time::timeout(ANSWER, client).await.ok()?.ok()
    }

    async fn execute(&self, on: Server, sql: &str) -> Result<(), tokio_postgres::Error> {
        let session = self.sessions[on.index()].as_ref();
        let session = session.expect("the application has a session there");
        session.batch_execute(sql).await
    }

    async fn commit(&mut self, on: Server, over: Over) -> Commit {
        self.commits += 1;
        let fresh;
        let session = match over {
            Over::Open => self.sessions[on.index()].as_ref(),
            Over::New => {
                fresh = self.new_session(on).await;
                fresh.as_ref()
            }
        };
        let Some(session) = session else {
            return Commit::Not;
        };
        let insert = insert(session, self.commits);
        let answered = tokio::time::timeout(ANSWER, insert).await;
        answered.unwrap_or(Commit::Not)
    }

    async fn begin_commit(&mut self, on: Server) {
        self.commits += 1;
        let number = self.commits;
        let session = self.new_session(on).await.expect("a session that commits");
        let backend = backend(&session).await;
        let commits = tokio::spawn(async move { insert(&session, number).await });
        self.begun = Some(Begun { backend, commits });
    }

    async fn became_of_begun(&mut self) -> Commit {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = self.begun.as_mut().expect("a commit that was begun");
        match begun.commits.is_finished() {
            true => (&mut begun.commits).await.unwrap(),
            false => Commit::Waits,
        }
    }

    async fn rows(&self, on: Server) -> Option<Vec<u32>> {
        let session = self.new_session(on).await?;
        let rows = session.query("SELECT n FROM rows ORDER BY n", &[]).await;
        let numbers = rows.ok()?.into_iter().map(|row| row.get::<_, i32>(0));
        Some(numbers.filter_map(|n| u32::try_from(n).ok()).collect())
    }

    async fn begin_loop(&mut self, on: Server) {
        let session = self.new_session(on).await.expect("a session for the loop");
        let call = session.batch_execute("CALL tick()");
        let goes_on = tokio::time::timeout(Duration::from_millis(300), call).await;
        assert!(goes_on.is_err(), "the loop has ended");
        self.looping = Some(session);
    }

    async fn loop_went_on(&self, on: Server) -> bool {
        let session = self.new_session(on).await.expect("a session that counts");
        let alone_from = self.killed_at + Duration::from_millis(500);
        let since = alone_from.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let later = format!(
            "SELECT count(*) > 0 FROM ticks WHERE at > to_timestamp({})",
            since.as_secs_f64()
        );
        session.query_one(&later, &[]).await.unwrap().get(0)
    }

    fn signal(&self, on: Server, signal: Signal) {
        let found = self.members[on.index()].instance().scan().unwrap();
        let postmaster = found.postmaster.expect("a postmaster to be signalled");
        process::signal(postmaster, signal).unwrap();
    }

    async fn kill_backend(&mut self, on: Server) {
        let session = self.sessions[on.index()].as_ref();
        let session = session.expect("the application has a session there");
        process::signal(backend(session).await, Signal::KILL).unwrap();
        // Its client hears of it when the connection ends: until then the postmaster may not know either.
        while self.sessions[on.index()]
            .as_ref()
            .is_some_and(|s| !s.is_closed())
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn insert(session: &Client, number: u32) -> Commit {
    let insert = format!("INSERT INTO rows VALUES ({number})");
    match session.batch_execute(&insert).await {
        Ok(()) => Commit::Acknowledged,
        Err(_) => Commit::Not,
    }
}

async fn backend(session: &Client) -> process::Proc {
    let row = session.query_one("SELECT pg_backend_pid()", &[]).await;
    let pid: i32 = row.unwrap().get(0);
    let found = u32::try_from(pid).ok().and_then(process::find);
    found.expect("its backend")
}

/// A refusal that the transcript has no word for would be the same as any other.
fn is_classed(answer: Option<&Answer>) -> bool {
    let how = match answer {
        Some(Answer::Ended { how, .. } | Answer::Attended(how)) => how,
        _ => return true,
    };
    !matches!(how, How::Refused(Refusal::Other(_)))
}

async fn play(room: Room) -> Vec<Line> {
    let mut bench = Bench::new(room);
    let mut played = Vec::new();
    for (about, step) in script() {
        let begun = Instant::now();
        let seen = bench.step(&step).await;
        if begun.elapsed() > Duration::from_secs(2) {
            eprintln!("{:?}: {about}: {step:?}", begun.elapsed());
        }
        assert!(is_classed(seen.as_ref()), "{about}: {seen:?}");
        let about = about.to_string();
        played.push(Line { about, step, seen });
    }
    played
}

#[test]
fn postgresql_answers_the_script_as_the_transcript_has_it() {
    let told = in_room_telling(
        "fidelity::postgresql_answers_the_script_as_the_transcript_has_it",
        |room| async move { print(&play(room).await) },
    );
    let Some(told) = told else {
        return;
    };
    if std::env::var_os("TANIST_RECORD").is_some() {
        std::fs::write(kept(), &told).expect("the transcript can be written");
    }
    let played: Vec<Line> = parse(&told).expect("it was just printed");
    let text = std::fs::read_to_string(kept()).expect("the transcript is there");
    let recorded: Vec<Line> = parse(&text).expect("a transcript");
    assert_eq!(parting(&recorded, &played), None);
}
