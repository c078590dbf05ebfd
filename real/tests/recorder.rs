//! What the flight recorder leaves on disk: replayable segments, within their cap, whatever the disk does.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tanist::recorder::{Recorder, segments};
use tanist_core::agent::{Agent, Boot, Output};
use tanist_core::dcs::DcsInput;
use tanist_core::input::Input;
use tanist_core::name::MemberName;
use tanist_core::record::Header;
use tanist_core::replay::replay;
use tanist_core::settings::{LocalPostgres, Safety, Settings};
use tanist_core::time::{Mono, Now, Wall};

fn settings() -> Settings {
    Settings {
        scope: "demo".into(),
        namespace: "service".into(),
        name: MemberName::from("a"),
        api_url: "http://127.0.0.1:8008/patroni".into(),
        conn_url: "postgres://127.0.0.1:5432/postgres".into(),
        proxy_url: None,
        tags: Default::default(),
        bootstrap: None,
        postgresql: LocalPostgres::default(),
        safety: Safety::default(),
    }
}

/// An agent and its recorder, living ten milliseconds a handle.
struct Life {
    agent: Agent,
    recorder: Recorder,
    handles: u64,
}

impl Life {
    fn begin(dir: &Path, size_max: u64) -> Life {
        let header = Header::new("", settings(), Boot::default(), 1, Now::default());
        Life {
            agent: Agent::new(settings(), Boot::default(), 1, Now::default()),
            recorder: Recorder::start(dir, size_max, header).unwrap(),
            handles: 0,
        }
    }

    fn live(&mut self, handles: u64) {
        for _ in 0..handles {
            self.handles += 1;
            let now = Now {
                mono: Mono(self.handles * 10_000),
                wall: Wall(0),
            };
            let input = Input::Dcs(DcsInput::WatchLost {
                why: format!("{} {}", self.handles, "x".repeat(50)),
            });
            let mut output = Output::default();
            self.agent.handle(now, input.clone(), &mut output);
            self.recorder.record(now, &input, &output, &self.agent);
        }
    }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tanist-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn text_of(dir: &Path) -> Vec<String> {
    let segments = segments::list(dir).unwrap();
    let texts = segments
        .iter()
        .map(|s| std::fs::read_to_string(s.path(dir)).unwrap());
    texts.collect()
}

/// Lives on until the disk shows what is waited for.
fn live_until(life: &mut Life, dir: &Path, seen: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !(dir.is_dir() && seen(&text_of(dir))) {
        assert!(Instant::now() < deadline, "not seen within 10 s");
        life.live(20);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_segments_of_a_life_replay_one_by_one_and_together() {
    let dir = folder("life");
    let mut life = Life::begin(&dir, 1 << 20);
    for _ in 0..5 {
        life.live(100);
        std::thread::sleep(Duration::from_millis(20));
    }
    let Life {
        agent, recorder, ..
    } = life;
    drop(recorder);
    for file in std::fs::read_dir(&dir).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else reads what the DCS holds");
    }
    let texts = text_of(&dir);
    assert!(texts.len() >= 3, "{} segments", texts.len());
    for text in &texts {
        replay(text).unwrap();
    }
    let whole = replay(&texts.concat()).unwrap();
    assert_eq!(
        (whole.handles + whole.lost, whole.agent),
        (500, Some(agent))
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_cap_holds_and_segments_around_a_role_change_are_kept_longest() {
    let dir = folder("cap");
    let mut life = Life::begin(&dir, 1 << 20);
    life.live(150);
    life.recorder.keep_this_segment();
    for _ in 0..30 {
        life.live(100);
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(life);
    let left = segments::list(&dir).unwrap();
    let bytes: u64 = left.iter().map(|s| s.bytes).sum();
    assert!(bytes <= (1 << 20) + (1 << 17), "{bytes}");
    let kept: Vec<u64> = left.iter().filter(|s| s.kept).map(|s| s.number).collect();
    assert!(kept.len() >= 2 && kept[0] <= 3, "{left:?}");
    let others = left.iter().find(|s| !s.kept).unwrap();
    assert!(others.number > kept[kept.len() - 1] + 1, "{left:?}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_costs_lines_and_no_more() {
    let parent = folder("blocked");
    let dir = parent.join("recorder");
    std::fs::write(&dir, "a file stands where the folder should be").unwrap();
    let mut life = Life::begin(&dir, 1 << 20);
    let began = Instant::now();
    life.live(5_000);
    assert!(began.elapsed() < Duration::from_secs(5));
    std::fs::remove_file(&dir).unwrap();
    live_until(&mut life, &dir, |texts| !texts.is_empty());
    life.live(5);
    let Life {
        agent, recorder, ..
    } = life;
    drop(recorder);
    let texts = text_of(&dir);
    let replayed = replay(texts.last().unwrap()).unwrap();
    assert_eq!(replayed.agent, Some(agent), "it goes on from a snapshot");
    std::fs::remove_dir_all(parent).unwrap();
}

#[test]
fn a_full_disk_never_stops_the_agent_and_the_segments_say_what_was_lost() {
    let dir = folder("full");
    let inner = format!(
        "mount -t tmpfs -o size=600k none {0} && exec {1} --exact inside_a_small_disk --ignored --nocapture",
        dir.display(),
        std::env::current_exe().unwrap().display()
    );
    let namespaces = ["--user", "--map-root-user", "--mount"];
    let allowed = Command::new("unshare")
        .args(namespaces)
        .arg("true")
        .status();
    assert!(
        allowed.is_ok_and(|s| s.success()),
        "this host gives no mount namespace for the small disk: run as root, or allow unprivileged user namespaces"
    );
    let done = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", &inner])
        .env("TANIST_SMALL_DISK", &dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    std::fs::remove_dir_all(dir).unwrap();
}

/// Run by the test above, in a mount namespace whose TANIST_SMALL_DISK holds 600 kB.
#[test]
#[ignore = "needs the small disk that its parent test mounts"]
fn inside_a_small_disk() {
    let disk = PathBuf::from(std::env::var("TANIST_SMALL_DISK").unwrap());
    let dir = disk.join("recorder");
    // 1. The recorder may use 1 MiB; the disk has 600 kB. It fills up, and lines are lost.
    let mut life = Life::begin(&dir, 1 << 20);
    for _ in 0..20 {
        life.live(100);
        std::thread::sleep(Duration::from_millis(5));
    }
    // 2. Its own oldest segments give way, and it writes again, from a snapshot.
    let lost = |texts: &[String]| texts.iter().any(|t| t.contains("{\"lost\":{\"lines\":"));
    live_until(&mut life, &dir, lost);
    life.live(1);
    let Life {
        agent, recorder, ..
    } = life;
    drop(recorder);
    let texts = text_of(&dir);
    for text in &texts {
        replay(text).unwrap();
    }
    let ended = texts
        .iter()
        .rposition(|t| t.contains("{\"lost\":"))
        .unwrap();
    let whole = replay(&texts[ended..].concat()).unwrap();
    assert!(whole.lost > 0);
    assert_eq!(whole.agent, Some(agent));
}
