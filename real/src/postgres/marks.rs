//! The durable notes kept beside the data directory: this member's promotions, whether it led last, which copy of the
//! data it has, a clone, a rewind or a founding that has not finished. Knows nothing of what they allow or forbid.
//!
//! They lie outside the data directory since a clone, a rewind or a discard replaces what is inside.

use super::trouble::{Outcome, Trouble};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tanist_core::postgres::{CopyId, PromotionMark};

#[derive(Clone, Debug)]
pub struct Marks {
    dir: PathBuf,
}

/// Work that has to be finished before the data directory is what its member needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A base backup or an initdb.
    Clone,
    Rewind,
    /// The roles of a new cluster.
    Roles,
}

impl Unfinished {
    fn file(self) -> &'static str {
        match self {
            Unfinished::Clone => "clone-unfinished",
            Unfinished::Rewind => "rewind-unfinished",
            Unfinished::Roles => "roles-unfinished",
        }
    }
}

const PROMOTED: &str = "promoted";
const LED_LAST: &str = "led-last";
const COPY: &str = "copy";
/// More attempts than this between two times of following are one broken member.
const PROMOTIONS_KEPT: usize = 64;

impl Marks {
    pub fn new(dir: impl Into<PathBuf>) -> Marks {
        Marks { dir: dir.into() }
    }

    /// Sets the mark durably; `what` is for whoever looks at the file.
    pub fn set(&self, mark: Unfinished, what: &str) -> Outcome {
        self.write(mark.file(), format!("{what}\n").as_bytes())
    }

    pub fn clear(&self, mark: Unfinished) -> Outcome {
        self.remove(mark.file())
    }

    /// A mark that cannot be looked at is an error: absence must be known, not assumed.
    pub fn is_set(&self, mark: Unfinished) -> Outcome<bool> {
        self.exists(mark.file())
    }

    pub fn add_promotion(&self, mark: PromotionMark) -> Outcome {
        let mut marks = self.promotions()?;
        marks.push(mark);
        let surplus = marks.len().saturating_sub(PROMOTIONS_KEPT);
        let text = serde_json::to_vec(&marks[surplus..])
            .map_err(|e| Trouble::failed(format!("cannot encode the promotion marks: {e}")))?;
        self.write(PROMOTED, &text)
    }

    /// The directory follows somebody again, or its data is new: whatever timeline its WAL is on is shared with the leader.
    pub fn forget_leading(&self) -> Outcome {
        self.remove(PROMOTED)?;
        self.remove(LED_LAST)
    }

    /// A primary's directory is about to be started read-only, following nobody.
    pub fn note_led_last(&self) -> Outcome {
        self.write(LED_LAST, b"was a primary, and has followed nobody since\n")
    }

    pub fn led_last(&self) -> Outcome<bool> {
        self.exists(LED_LAST)
    }

    /// From here on the directory's WAL need not go on from what it was.
    pub fn begin_copy(&self) -> Outcome {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut bytes))
            .map_err(|e| Trouble::failed(format!("no random numbers from /dev/urandom: {e}")))?;
        self.write(
            COPY,
            format!("{:032x}\n", u128::from_le_bytes(bytes)).as_bytes(),
        )
    }

    /// `None`: Tanist has neither made nor rewound this directory.
    pub fn copy(&self) -> Outcome<Option<CopyId>> {
        let path = self.dir.join(COPY);
        match fs::read_to_string(&path) {
            Ok(text) if is_copy(text.trim()) => Ok(Some(CopyId(text.trim().to_string()))),
            Ok(_) => {
                let path = path.display();
                Err(Trouble::failed(format!(
                    "{path} is not 32 hexadecimal digits; while this member's agent is stopped, put any others there that were never used"
                )))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Trouble::file("read", &path, &e)),
        }
    }

    pub fn promotions(&self) -> Outcome<Vec<PromotionMark>> {
        let path = self.dir.join(PROMOTED);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| {
                let path = path.display();
                Trouble::failed(format!(
                    "{path} is no list of promotions ({e}); remove it if this member never led"
                ))
            }),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Trouble::file("read", &path, &e)),
        }
    }

    fn exists(&self, name: &str) -> Outcome<bool> {
        let path = self.dir.join(name);
        path.try_exists()
            .map_err(|e| Trouble::file("look at", &path, &e))
    }

    fn write(&self, name: &str, content: &[u8]) -> Outcome {
        make_private_dir(&self.dir)?;
        write_durably(&self.dir.join(name), content)
    }

    fn remove(&self, name: &str) -> Outcome {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Ok(()) => sync_dir(&self.dir),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Trouble::file("remove", &path, &e)),
        }
    }
}

fn is_copy(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Creates `dir` (mode 0700) and its parents, durably, when it is missing.
pub fn make_private_dir(dir: &Path) -> Outcome {
    if dir.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|e| Trouble::file("create directory", dir, &e))?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Replaces `path` so that after a crash of the host it holds either the old or the new content, whole.
pub fn write_durably(path: &Path, content: &[u8]) -> Outcome {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let tmp = PathBuf::from(name);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&tmp)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&tmp, path)
    })();
    written.map_err(|e| Trouble::file("write", path, &e))?;
    path.parent().map_or(Ok(()), sync_dir)
}

pub fn sync_dir(dir: &Path) -> Outcome {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| Trouble::file("sync directory", dir, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_core::name::Term;
    use tanist_core::timeline::TimelineId;

    fn marks(test: &str) -> Marks {
        let dir = std::env::temp_dir().join(format!("tanist-marks-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Marks::new(dir)
    }

    #[test]
    fn promotions_read_back_as_written_until_the_member_follows_somebody() {
        let marks = marks("promoted");
        assert_eq!(marks.promotions(), Ok(vec![]));
        let mark = |n: u32| PromotionMark {
            timeline: TimelineId(n),
            term: Term(i64::from(n)),
        };
        marks.add_promotion(mark(2)).unwrap();
        marks.add_promotion(mark(3)).unwrap();
        assert_eq!(marks.promotions(), Ok(vec![mark(2), mark(3)]));
        marks.note_led_last().unwrap();
        assert_eq!(marks.led_last(), Ok(true));
        marks.forget_leading().unwrap();
        assert_eq!(marks.promotions(), Ok(vec![]));
        assert_eq!(marks.led_last(), Ok(false));
        fs::remove_dir_all(&marks.dir).unwrap();
    }

    #[test]
    fn no_copy_is_named_twice_and_a_garbled_name_is_an_error() {
        let marks = marks("copy");
        assert_eq!(marks.copy(), Ok(None));
        marks.begin_copy().unwrap();
        let first = marks.copy().unwrap().unwrap();
        assert_eq!(marks.copy(), Ok(Some(first.clone())));
        marks.begin_copy().unwrap();
        assert_ne!(marks.copy(), Ok(Some(first)));
        fs::write(marks.dir.join(COPY), "").unwrap();
        assert!(matches!(marks.copy(), Err(Trouble::Failed(_))));
        fs::remove_dir_all(&marks.dir).unwrap();
    }

    #[test]
    fn an_unfinished_rewind_stays_marked_until_it_is_cleared() {
        let marks = marks("rewind");
        assert_eq!(marks.is_set(Unfinished::Rewind), Ok(false));
        marks.set(Unfinished::Rewind, "from b").unwrap();
        assert_eq!(marks.is_set(Unfinished::Rewind), Ok(true));
        assert_eq!(marks.is_set(Unfinished::Clone), Ok(false));
        marks.clear(Unfinished::Rewind).unwrap();
        marks.clear(Unfinished::Rewind).unwrap();
        assert_eq!(marks.is_set(Unfinished::Rewind), Ok(false));
        fs::remove_dir_all(&marks.dir).unwrap();
    }

    #[test]
    fn a_torn_promotion_mark_is_an_error_not_an_absence() {
        let marks = marks("torn");
        make_private_dir(&marks.dir).unwrap();
        fs::write(marks.dir.join(PROMOTED), "{\"timel").unwrap();
        assert!(matches!(marks.promotions(), Err(Trouble::Failed(_))));
        fs::remove_dir_all(&marks.dir).unwrap();
    }
}
