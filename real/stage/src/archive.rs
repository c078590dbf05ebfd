//! The archive of a cluster whose scenario has one: a folder, and a command that works, fails or hangs for one member at
//! a time. Knows nothing of what waits for it.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tanist::testbed::folder::Folder;
use tanist_core::name::MemberName;
use tanist_sim::pg::archive::Archiving;

pub struct Archive {
    folder: PathBuf,
}

/// `$1`: the member, `$2`: the segment's path, `$3`: its name. A file that is there stays.
const COMMAND: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
while [ -e "hangs.$1" ]; do sleep 0.1; done
[ ! -e "fails.$1" ] || exit 1
[ ! -e "$3" ] || exec cmp -s "$2" "$3"
cp "$2" "part.$1.$$" && mv "part.$1.$$" "$3"
"#;

impl Archive {
    pub fn build(folder: &Folder) -> anyhow::Result<Archive> {
        let dir = folder.subfolder("archive")?;
        folder.write("archive/command", COMMAND)?;
        Ok(Archive { folder: dir })
    }

    /// What a member's own configuration has of it.
    pub fn settings(&self, member: &MemberName) -> Value {
        let folder = self.folder.display();
        json!({"postgresql": {
            "parameters": {
                "archive_mode": "on",
                "archive_command": format!("sh '{folder}/command' {member} \"$PWD/%p\" %f"),
            },
            "recovery_conf": {"restore_command": format!("cp '{folder}/%f' \"%p\"")},
        }})
    }

    pub fn set(&self, member: &MemberName, how: Archiving) -> anyhow::Result<()> {
        let switch = |word: &str, on: bool| flag(&self.folder, &format!("{word}.{member}"), on);
        switch("hangs", how == Archiving::Hangs)?;
        switch("fails", how == Archiving::Fails)
    }
}

fn flag(folder: &Path, name: &str, on: bool) -> anyhow::Result<()> {
    let path = folder.join(name);
    match (on, path.exists()) {
        (true, false) => fs::write(path, "")?,
        (false, true) => fs::remove_file(path)?,
        (true, true) | (false, false) => {}
    }
    Ok(())
}
