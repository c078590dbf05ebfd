//! Tanist's own section: `tanist:`. The fencer, the terms of the write authority, where state is kept.

use super::section::{Section, Unknown};
use std::path::{Path, PathBuf};
use tanist_core::settings::{FencerMode, Safety};
use tanist_core::time::Span;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub safety: Safety,
    /// Small durable notes, the fencer's socket and the flight recorder live here; never in the data directory.
    pub state_dir: PathBuf,
    pub recorder: Recorder,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorder {
    pub dir: PathBuf,
    /// All segments together.
    pub size_max: u64,
}

const RECORDER_SIZE: u64 = 64 << 20;
const RECORDER_SIZE_MIN: u64 = 1 << 20;
/// Below this no orderly immediate stop of a real server has been seen.
const STOP_BUDGET_MIN: Span = Span::millis(200);

pub fn read(root: &Section<'_>, data_dir: Option<&Path>) -> Own {
    let beside = default_state_dir(data_dir);
    let Some(section) = root.section("tanist") else {
        return Own {
            safety: Safety::default(),
            recorder: Recorder {
                dir: beside.join("recorder"),
                size_max: RECORDER_SIZE,
            },
            state_dir: beside,
        };
    };
    let state_dir = section.text("state_dir").map_or(beside, PathBuf::from);
    if data_dir.is_some_and(|data| state_dir.starts_with(data)) {
        section.wrong(
            "state_dir",
            "lies inside the data directory, which a clone replaces",
            "name a directory beside it",
        );
    }
    let recorder = read_recorder(&section, &state_dir);
    let safety = read_safety(&section);
    section.finish(Unknown::Refuse);
    Own {
        safety,
        state_dir,
        recorder,
    }
}

/// `/srv/pg/data` keeps its state in `/srv/pg/data.tanist`: the same disk, the same owner, never cloned over.
fn default_state_dir(data_dir: Option<&Path>) -> PathBuf {
    let mut name = data_dir
        .and_then(Path::file_name)
        .unwrap_or_default()
        .to_os_string();
    name.push(".tanist");
    data_dir
        .and_then(Path::parent)
        .unwrap_or(Path::new("."))
        .join(name)
}

fn read_recorder(section: &Section<'_>, state_dir: &Path) -> Recorder {
    let mut recorder = Recorder {
        dir: state_dir.join("recorder"),
        size_max: RECORDER_SIZE,
    };
    if let Some(inner) = section.section("recorder") {
        if let Some(dir) = inner.text("dir") {
            recorder.dir = PathBuf::from(dir);
        }
        if let Some(size) = inner.bytes("size") {
            if size < RECORDER_SIZE_MIN {
                inner.wrong(
                    "size",
                    format!("expected at least {RECORDER_SIZE_MIN} bytes, found {size}"),
                    "write 1MB or more",
                );
            }
            recorder.size_max = size;
        }
        inner.finish(Unknown::Refuse);
    }
    recorder
}

fn read_safety(section: &Section<'_>) -> Safety {
    let mut safety = Safety::default();
    if let Some(mode) = section.text("fencer") {
        match mode.to_ascii_lowercase().as_str() {
            "off" | "false" | "no" => safety.fencer = FencerMode::Off,
            "auto" | "automatic" => safety.fencer = FencerMode::Auto,
            "required" => safety.fencer = FencerMode::Required,
            _ => section.wrong(
                "fencer",
                format!("expected off, auto or required, found `{mode}`"),
                "write one of these",
            ),
        }
    }
    if let Some(budget) = section.span("stop_budget") {
        if budget < STOP_BUDGET_MIN {
            section.wrong(
                "stop_budget",
                format!("expected at least {STOP_BUDGET_MIN}, found {budget}"),
                "leave it out: two seconds are enough on most hosts",
            );
        }
        safety.stop_budget = budget;
    }
    if let Some(ppm) = section.integer("clock_drift_ppm", 0..=100_000) {
        safety.clock_drift_ppm = ppm as u32;
    }
    if let Some(fast) = section.flag("fast_timing") {
        safety.fast_timing = fast;
    }
    safety
}
