//! The primary's data lies on a file system that takes no more writes: its processes wait in the kernel, and SIGKILL
//! waits with them. Needs a loop device, so that it is asked for by name (`make stalled-disk`).

use crate::ordeal::{Load, Loss, Ordeal};
use crate::support::plan;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tanist::testbed::account::Account;
use tanist::testbed::cluster::Cluster;
use tanist::testbed::folder::{AtEnd, Folder};
use tanist::testbed::wait_for;

/// A file system of its own in a file, which can be made to stand still.
struct Disk {
    at: PathBuf,
}

fn run(program: &str, arguments: &[&str]) {
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.unwrap_or_else(|e| panic!("{program}: {e}"));
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{program} {arguments:?}: {complaint}"
    );
}

impl Disk {
    /// Empty, and the account's own, as a data directory that was just made.
    fn mounted(at: &Path, image: &Path, account: &Account) -> Disk {
        let (at_text, image) = (at.to_str().unwrap(), image.to_str().unwrap());
        std::fs::create_dir(at).unwrap();
        run("truncate", &["--size", "1G", image]);
        run("mkfs.ext4", &["-q", image]);
        run("mount", &["-o", "loop", image, at_text]);
        let disk = Disk {
            at: at.to_path_buf(),
        };
        std::fs::remove_dir(at.join("lost+found")).unwrap();
        run("chmod", &["700", at_text]);
        account.give(at).unwrap();
        disk
    }

    fn freeze(&self) {
        run("fsfreeze", &["--freeze", self.at.to_str().unwrap()]);
    }

    fn thaw(&self) {
        run("fsfreeze", &["--unfreeze", self.at.to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = &self.at;
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(at).output();
        let _ = Command::new("umount").arg("--lazy").arg(at).status();
    }
}

#[test]
#[ignore = "needs a loop device: make stalled-disk"]
fn primary_whose_processes_cannot_even_be_killed_hands_over() {
    let mut folder = Folder::temporary("tanist-stalled", Account::ordinary().unwrap()).unwrap();
    // It can go only after the disk has been taken out of it.
    folder.at_end(AtEnd::Keep);
    let (home, account) = (folder.path().to_path_buf(), folder.account().clone());
    let image = home.join("disk");
    let cluster = Cluster::prepare(&plan(), folder).unwrap();
    let a = cluster.member("a").unwrap().clone();
    let disk = Disk::mounted(a.data_dir(), &image, &account);
    a.start().unwrap();
    wait_for("a leads", Duration::from_secs(60), || {
        cluster.leader().map(|_| ())
    })
    .unwrap();
    for member in &cluster.members()[1..] {
        member.start().unwrap();
    }
    let mut ordeal = Ordeal::on(cluster, Load::Kind);
    assert_eq!(ordeal.old.name(), "a");
    ordeal.strike();
    disk.freeze();
    std::thread::sleep(Duration::from_secs(1));
    // It answers that the hand-over failed, or that another leads: both are true of a disk that stands still.
    let _ = ordeal.cluster.switchover("a", Some("b"));
    ordeal.wait_new_leader(Duration::from_secs(60));
    assert!(
        !a.instance().is_empty(),
        "killed, and in the middle of a call that does not return"
    );
    disk.thaw();
    assert_eq!(ordeal.end(Loss::WithinBound).promotions, 1);
    drop(disk);
    std::fs::remove_dir_all(home).unwrap();
}
