//! On what it was measured: the machine and the versions of everything that took part.

use std::process::Command;

/// Lines for the page.
pub fn describe() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".into());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let postgres = said("/usr/lib/postgresql/15/bin/postgres", &["--version"]);
    vec![
        format!(
            "{cores} cores ({cpu}), memory {memory}, Linux {}",
            kernel.trim()
        ),
        postgres,
        said("etcd", &["--version"]),
        said("/usr/sbin/haproxy", &["-v"]),
        said("/usr/bin/python3", &["--version"]),
        "patroni[etcd3] 4.1.5 and psycopg[binary] 3.3.9 from PyPI".into(),
    ]
}

/// How busy the machine is with other things.
pub fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|n| n.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// The commit that is measured, marked when it is not what was committed.
pub fn version() -> String {
    let said = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .output();
    let text = said.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string());
    text.ok()
        .filter(|t| !t.is_empty())
        .unwrap_or_else(|| "unknown".into())
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(told) => String::from_utf8_lossy(&told.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .to_string(),
        Err(why) => format!("{program}: {why}"),
    }
}
