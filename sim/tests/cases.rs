//! The page of cases and the headers of the scenarios name each other, and every case is either told or waits for
//! something that is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tanist_sim::library;

const HEADER: &str = "case: ";

/// Case, scenario, what it waits for.
fn rows(page: &str) -> Vec<(String, String, String)> {
    let cells = |line: &str| -> Option<(String, String, String)> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
        let [case, _kind, scenario, waits, ..] = cells[..] else {
            return None;
        };
        Some((case.into(), scenario.into(), waits.into()))
    };
    page.lines().filter_map(cells).skip(1).collect()
}

/// The scenario that says of itself which case it tells.
fn told(root: &Path) -> BTreeMap<String, String> {
    let folder = root.join("scenarios");
    let mut told = BTreeMap::new();
    for file in library::scenarios(&folder).unwrap() {
        let plan = library::load(&file).unwrap();
        let name = file.strip_prefix(&folder).unwrap().with_extension("");
        for case in plan
            .notes
            .iter()
            .filter_map(|note| note.strip_prefix(HEADER))
        {
            let before = told.insert(case.to_string(), name.display().to_string());
            assert_eq!(before, None, "{case} is told twice");
        }
    }
    told
}

#[test]
fn every_case_is_told_by_the_scenario_that_the_page_names_or_waits_for_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("reports/cases.md")).unwrap();
    let rows = rows(&page);
    let mut told = told(&root);
    let names: BTreeSet<&String> = rows.iter().map(|(case, _, _)| case).collect();
    assert_eq!(names.len(), rows.len(), "a case has two rows");
    for (case, scenario, waits) in &rows {
        let by = told.remove(case).unwrap_or_default();
        assert_eq!(&by, scenario, "{case}");
        assert_ne!(by.is_empty(), waits.is_empty(), "{case} is told, or waits");
    }
    assert!(told.is_empty(), "not on the page: {told:?}");
}
