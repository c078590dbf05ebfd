//! As whom the servers run: PostgreSQL refuses root, so root starts everything as an ordinary user.
//! Knows nothing of what is started.

use anyhow::{Context, bail};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// The user behind every server of a testbed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// Whoever runs this is an ordinary user already.
    Myself,
    /// This process is root and lends its children to somebody else.
    Lent { name: String, uid: u32, gid: u32 },
}

/// Preferred first; each exists on a Debian with PostgreSQL or on any Linux.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

impl Account {
    pub fn ordinary() -> anyhow::Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Myself);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        for name in CANDIDATES {
            if let Some((uid, gid)) = find(&passwd, name) {
                let name = name.into();
                return Ok(Account::Lent { name, uid, gid });
            }
        }
        bail!("root cannot run PostgreSQL, and none of the users {CANDIDATES:?} exists: create one")
    }

    /// A command that runs as this account and is killed when the thread that starts it ends, so that
    /// an interrupted run leaves no agent behind. `setpriv` becomes the program, pid and all.
    pub fn command(&self, program: impl AsRef<OsStr>, within: &Namespace) -> Command {
        let mut command = match within {
            Namespace::Host => Command::new("setpriv"),
            Namespace::Named(namespace) => {
                let mut outer = Command::new("ip");
                outer.args(["netns", "exec", namespace, "setpriv"]);
                outer
            }
        };
        command.args(["--pdeathsig", "KILL"]);
        if let Account::Lent { uid, gid, .. } = self {
            command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string()]);
            command.arg("--clear-groups");
        }
        command.arg("--").arg(program.as_ref());
        command
    }

    /// Hands a file or directory to the account.
    pub fn give(&self, path: &Path) -> anyhow::Result<()> {
        match self {
            Account::Myself => Ok(()),
            Account::Lent { uid, gid, .. } => {
                std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                    .with_context(|| format!("chown {}", path.display()))
            }
        }
    }
}

/// Where a process sees the network from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    Host,
    Named(String),
}

fn find(passwd: &str, wanted: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        if name != wanted {
            return None;
        }
        Some((uid.parse().ok()?, gid.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        assert_eq!(find(passwd, "postgres"), Some((101, 104)));
        assert_eq!(find(passwd, "nobody"), None);
    }
}
