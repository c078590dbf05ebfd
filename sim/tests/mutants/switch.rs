//! The switches that deliberate bugs stand behind in the copied core, as text: by number, and told which were asked.

use super::list::Mutant;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Names, with commas between them, of the bugs that are switched on.
pub const ON: &str = "TANIST_MUTANT";
/// A file to which the number of each switch is added that was asked at all: a run in which none was is the same with
/// the bug and without.
pub const ASKED: &str = "TANIST_MUTANTS_ASKED";

/// The module `mutant` of the copied core.
pub fn module(all: &BTreeMap<String, Mutant>) -> String {
    let mut names = String::new();
    for name in all.keys() {
        let _ = writeln!(names, "    \"{name}\",");
    }
    let count = all.len();
    format!(
        r#"//! Which deliberate bugs are switched on.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{{AtomicBool, Ordering}};

const NAMES: [&str; {count}] = [
{names}];

struct Switches {{
    on: [bool; {count}],
    told_to: Option<std::path::PathBuf>,
}}

pub fn on(id: usize) -> bool {{
    static SWITCHES: OnceLock<Switches> = OnceLock::new();
    static ASKED: [AtomicBool; {count}] = [const {{ AtomicBool::new(false) }}; {count}];
    let switches = SWITCHES.get_or_init(read);
    if let Some(file) = &switches.told_to
        && !ASKED[id].swap(true, Ordering::Relaxed)
    {{
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .expect("the file of the switches can be opened");
        writeln!(file, "{{id}}").expect("a switch can be told");
    }}
    switches.on[id]
}}

fn read() -> Switches {{
    let on = std::env::var("{ON}").unwrap_or_default();
    Switches {{
        on: NAMES.map(|name| on.split(',').any(|one| one == name)),
        told_to: std::env::var_os("{ASKED}").map(Into::into),
    }}
}}
"#
    )
}

/// How `name`'s switch is asked, in a file of the core or of another package.
pub fn asked(all: &BTreeMap<String, Mutant>, name: &str, file: &str) -> String {
    let krate = if file.starts_with("core/") {
        "crate"
    } else {
        "tanist_core"
    };
    let id = all.keys().position(|known| known == name);
    let id = id.expect("the bug is one of them");
    format!("{krate}::mutant::on({id})")
}
