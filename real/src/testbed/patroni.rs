//! Where Patroni 4.1.5 from PyPI is, unmodified: made once for each build tree, in a virtual environment.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: [&str; 2] = ["patroni[etcd3]==4.1.5", "psycopg[binary]==3.3.9"];
/// Debian's own: one under a home directory could not be run by another account.
const PYTHON: &str = "/usr/bin/python3";

/// `patroni` of a virtual environment below the temporary directory, where every account can run it.
pub fn program() -> anyhow::Result<PathBuf> {
    let home = std::env::temp_dir().join("tanist-patroni-4.1.5");
    if !home.join("complete").exists() {
        install(&home)?;
    }
    Ok(home.join("bin/patroni"))
}

pub fn patronictl() -> anyhow::Result<PathBuf> {
    Ok(program()?.with_file_name("patronictl"))
}

fn install(home: &Path) -> anyhow::Result<()> {
    let made = Command::new(PYTHON)
        .args(["-m", "venv", "--clear"])
        .arg(home)
        .status();
    let made = made.with_context(|| format!("starting {PYTHON}: run real/demo/servers"))?;
    ensure!(
        made.success(),
        "{PYTHON} cannot make an environment: run real/demo/servers"
    );
    let mut pip = Command::new(home.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(REQUIREMENTS);
    ensure!(
        pip.status()?.success(),
        "installing {REQUIREMENTS:?} failed"
    );
    std::fs::write(home.join("complete"), "").context("marking the environment as complete")
}
