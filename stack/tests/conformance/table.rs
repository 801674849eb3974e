//! The table: rows, and the macro that makes them and their tests at once.

/// How binding a statement is (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)]
pub enum Level {
    Must,
    MustNot,
    Should,
    ShouldNot,
    May,
    /// The RFC says how it is, without one of the words.
    Rule,
    /// The RFCs leave it open, and Linux does it so.
    Linux,
}

impl Level {
    pub fn text(self) -> &'static str {
        match self {
            Level::Must => "MUST",
            Level::MustNot => "MUST NOT",
            Level::Should => "SHOULD",
            Level::ShouldNot => "SHOULD NOT",
            Level::May => "MAY",
            Level::Rule => "rule",
            Level::Linux => "Linux",
        }
    }
}

/// The test of a statement.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    pub name: &'static str,
    pub run: fn(),
}

/// What becomes of a statement here.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// It holds.
    Test(Test),
    /// Something else is done, for this reason; the test shows what.
    Deviation(&'static str, Option<Test>),
    /// There is nothing here that it speaks of, for this reason.
    NotApplicable(&'static str),
}

impl Proof {
    /// Refuses, when the table is compiled, a row with neither a test nor a reason, and one that
    /// cannot apply and has a test.
    pub const fn of(
        deviation: Option<&'static str>,
        not_applicable: Option<&'static str>,
        test: Option<Test>,
    ) -> Self {
        match (deviation, not_applicable, test) {
            (None, None, Some(test)) => Proof::Test(test),
            (Some(reason), None, test) => Proof::Deviation(reason, test),
            (None, Some(reason), None) => Proof::NotApplicable(reason),
            _ => panic!("a row has a test, or a deviation, or a reason why it does not apply"),
        }
    }

    pub fn test(&self) -> Option<Test> {
        match *self {
            Proof::Test(test) => Some(test),
            Proof::Deviation(_, test) => test,
            Proof::NotApplicable(_) => None,
        }
    }
}

/// A normative statement.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The source without blanks, and the RFC's own label where it has one: `RFC9293-MUST-5`.
    pub id: &'static str,
    /// The section.
    pub clause: &'static str,
    pub level: Level,
    /// What is asked for, in our own words.
    pub statement: &'static str,
    pub proof: Proof,
}

/// The rows of one module.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// `RFC 9293`.
    pub source: &'static str,
    pub title: &'static str,
    /// The path of the module.
    pub module: &'static str,
    pub rows: &'static [Row],
}

/// Runs the test of a row; should it fail, the output says of which.
pub fn prove(row: &str, clause: &str, statement: &str, test: fn()) {
    eprintln!("{row} (§{clause}): {statement}");
    test();
}

/// A group of statements: `GROUP`, and a test for each row that names a function of the module.
///
/// ```text
/// conformance! {
///     "RFC 9293", "Options (§3.1, §3.2)";
///
///     Must "RFC9293-MUST-6" "3.1" "Options that are not known are passed over."
///         => unknown_options_are_passed_over;
///     Should "RFC0000-…" "2.1" "What is done otherwise."
///         deviation "Why." => what_is_done_instead;
///     May "RFC9293-MAY-14" "3.9.1" "A call that flushes."
///         not_applicable "Why.";
/// }
/// ```
///
/// A row that names no function does not compile unless it gives a reason, and a function without a
/// row is dead code.
macro_rules! conformance {
    ($source:literal, $title:literal; $(
        $level:ident $id:literal $clause:literal $statement:literal
        $(deviation $deviation:literal)?
        $(not_applicable $reason:literal)?
        $(=> $test:ident)? ;
    )*) => {
        pub const GROUP: $crate::table::Group = $crate::table::Group {
            source: $source,
            title: $title,
            module: module_path!(),
            rows: &[$($crate::table::Row {
                id: $id,
                clause: $clause,
                level: $crate::table::Level::$level,
                statement: $statement,
                proof: $crate::table::Proof::of(
                    optional!($($deviation)?),
                    optional!($($reason)?),
                    optional!($($crate::table::Test { name: stringify!($test), run: $test })?),
                ),
            }),*],
        };

        mod tests {
            $($(
                #[test]
                fn $test() {
                    $crate::table::prove($id, $clause, $statement, super::$test);
                }
            )?)*
        }
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}
