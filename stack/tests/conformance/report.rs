//! `CONFORMANCE.md`: the table and what became of each row.

use std::collections::HashSet;
use std::fmt::Write;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, fs, thread};

use crate::TABLE;
use crate::table::{Group, Level, Proof, Row, Test, prove};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../CONFORMANCE.md");
const UPDATE: &str = "UPDATE_CONFORMANCE";

const INTRODUCTION: &str = "\
# Conformance

What the RFCs ask of UDP and TCP, statement by statement in our own words, and the test that proves
it. *rule* marks what an RFC describes without a key word of RFC 2119, *Linux* what the RFCs leave
open and is done as Linux does it. Where something else is done than an RFC asks for, or where a
statement finds nothing here to apply to, the reason stands in place of the result. What RFC 1122
§4.2 asked of TCP is part of RFC 9293 now.

The tests are in `stack/tests/conformance`, in virtual time. This file is written by

```sh
UPDATE_CONFORMANCE=1 cargo test -p tapping-stack --test conformance conformance_md
```

which runs every test for it; `cargo test` checks that it lists what the suite has.
";

/// With `UPDATE_CONFORMANCE` in the environment every row is run, and the file written anew.
/// Otherwise the file must be what that would write: all that the suite has, and nothing failed.
#[test]
fn conformance_md_is_what_the_suite_shows() {
    if env::var_os(UPDATE).is_some() {
        let failed = failures();
        fs::write(FILE, render(&failed)).expect("CONFORMANCE.md is written");
        assert!(failed.is_empty(), "written, with failed rows: {failed:?}");
        return;
    }
    let committed = fs::read_to_string(FILE).expect("CONFORMANCE.md is read");
    let expected = render(&HashSet::new());
    let stale = committed.lines().find(|line| !expected.lines().any(|other| other == *line));
    let missing = expected.lines().find(|line| !committed.lines().any(|other| other == *line));
    assert!(
        committed == expected,
        "CONFORMANCE.md is not what the suite shows; write it with {UPDATE}=1.\n\
         Only in the file: {stale:?}\nOnly in the suite: {missing:?}"
    );
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let mut seen = HashSet::new();
    for (group, row) in rows() {
        assert!(seen.insert(row.id), "{} is there twice", row.id);
        let source = group.source.replace(' ', "");
        let label = row.id.strip_prefix(&source).and_then(|rest| rest.strip_prefix('-'));
        assert!(label.is_some_and(|label| !label.is_empty()), "{} is of {source}", row.id);
    }
}

/// Labels like MUST-5 say the level, too. RFC 9293 numbers what must not be done among the rest.
#[test]
fn labels_and_levels_agree() {
    for (_, row) in rows() {
        let Some((_, label)) = row.id.split_once('-') else { continue };
        let fits = match label.split_once('-').map(|(kind, _)| kind) {
            Some("MUST") => matches!(row.level, Level::Must | Level::MustNot),
            Some("SHLD") => matches!(row.level, Level::Should | Level::ShouldNot | Level::Must),
            Some("MAY") => matches!(row.level, Level::May | Level::Should),
            _ => true,
        };
        assert!(fits, "{} is {}", row.id, row.level.text());
    }
}

#[test]
fn statements_and_reasons_are_sentences() {
    for (_, row) in rows() {
        let reason = match row.proof {
            Proof::Test(_) => None,
            Proof::Deviation(reason, _) | Proof::NotApplicable(reason) => Some(reason),
        };
        for text in [Some(row.statement), reason].into_iter().flatten() {
            let sentence = text.ends_with('.') && text.starts_with(|c: char| !c.is_lowercase());
            assert!(sentence && !text.contains(['|', '\n']), "{}: {text}", row.id);
        }
    }
}

fn rows() -> impl Iterator<Item = (&'static Group, &'static Row)> {
    TABLE.iter().flat_map(|group| group.rows.iter().map(move |row| (group, row)))
}

/// Runs every test and returns the rows that failed.
fn failures() -> HashSet<&'static str> {
    let rows: Vec<(&Row, Test)> =
        rows().filter_map(|(_, row)| row.proof.test().map(|test| (row, test))).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(HashSet::new()));
    let work = || {
        while let Some((row, test)) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            let shown = catch_unwind(|| prove(row.id, row.clause, row.statement, test.run));
            if shown.is_err() {
                failed.lock().unwrap_or_else(PoisonError::into_inner).insert(row.id);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn render(failed: &HashSet<&str>) -> String {
    let mut out = String::from(INTRODUCTION);
    summary(&mut out, failed);
    for group in TABLE {
        section(&mut out, group, failed);
    }
    out
}

fn summary(out: &mut String, failed: &HashSet<&str>) {
    out.push_str("\n| | statements | pass | fail | deviations | not applicable |\n");
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    let mut total = [0; 5];
    for group in TABLE {
        let counts = count(group, failed);
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
        line(out, &format!("{}: {}", group.source, group.title), counts);
    }
    line(out, "all", total);
}

fn line(out: &mut String, name: &str, [all, pass, fail, deviations, not_applicable]: [usize; 5]) {
    writeln!(out, "| {name} | {all} | {pass} | {fail} | {deviations} | {not_applicable} |")
        .expect("a String takes it");
}

/// Statements, passed, failed, deviations, not applicable.
fn count(group: &Group, failed: &HashSet<&str>) -> [usize; 5] {
    let mut counts = [group.rows.len(), 0, 0, 0, 0];
    for row in group.rows {
        counts[match row.proof {
            _ if failed.contains(row.id) => 2,
            Proof::Test(_) => 1,
            Proof::Deviation(..) => 3,
            Proof::NotApplicable(_) => 4,
        }] += 1;
    }
    counts
}

fn section(out: &mut String, group: &Group, failed: &HashSet<&str>) {
    let module = group.module.split_once("::").map_or("", |(_, module)| module);
    let Group { source, title, .. } = group;
    let head =
        "| statement | clause | level | | test | result |\n| --- | --- | --- | --- | --- | --- |";
    write!(out, "\n## {source}: {title}\n\nTests in `{module}::tests`.\n\n{head}\n")
        .expect("a String takes it");
    for row in group.rows {
        let test = row.proof.test().map_or(String::new(), |test| format!("`{}`", test.name));
        let result = match row.proof {
            _ if failed.contains(row.id) => "**FAIL**".to_string(),
            Proof::Test(_) => "pass".to_string(),
            Proof::Deviation(reason, _) => format!("deviation: {reason}"),
            Proof::NotApplicable(reason) => format!("not applicable: {reason}"),
        };
        let Row { id, clause, statement, .. } = row;
        let level = row.level.text();
        writeln!(out, "| {id} | {clause} | {level} | {statement} | {test} | {result} |")
            .expect("a String takes it");
    }
}
