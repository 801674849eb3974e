//! The page that shows what is in a directory.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::target::{Name, encode, is_hidden};

/// Entries that are shown; a page without end is no use to anybody.
pub const MAX_ENTRIES: usize = 10_000;

/// What a directory has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as the file system has it.
    pub name: Vec<u8>,
    /// It is a directory.
    pub is_dir: bool,
}

/// The page for a directory, in HTML. `more` says that not everything was looked at.
pub fn page(directory: &Name, mut entries: Vec<Entry>, more: bool) -> String {
    entries.retain(|entry| !is_hidden(&entry.name));
    entries.sort_by(|a, b| (Reverse(a.is_dir), &a.name).cmp(&(Reverse(b.is_dir), &b.name)));
    let shown = escape(&directory.shown());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{shown}</title>\n</head>\n<body>\n<h1>{shown}</h1>\n<ul>\n"
    );
    if directory.encoded() != "/" {
        page += "<li><a href=\"../\">../</a></li>\n";
    }
    for Entry { name, is_dir } in &entries {
        let slash = if *is_dir { "/" } else { "" };
        let (link, text) = (encode(name), escape(&String::from_utf8_lossy(name)));
        // Writing to a string does not fail.
        let _ = writeln!(page, "<li><a href=\"{link}{slash}\">{text}{slash}</a></li>");
    }
    if more {
        page += "<li>and more</li>\n";
    }
    page + "</ul>\n</body>\n</html>\n"
}

/// Text that HTML takes for nothing but text.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], is_dir: bool) -> Entry {
        Entry { name: name.to_vec(), is_dir }
    }

    #[test]
    fn directories_come_first_and_nothing_hidden() {
        let entries =
            vec![entry(b"b", false), entry(b".git", true), entry(b"z", true), entry(b"a", false)];
        let page = page(&Name::parse("/").unwrap(), entries, false);
        let links: Vec<&str> = page.lines().filter(|line| line.starts_with("<li>")).collect();
        assert_eq!(
            links,
            [
                "<li><a href=\"z/\">z/</a></li>",
                "<li><a href=\"a\">a</a></li>",
                "<li><a href=\"b\">b</a></li>"
            ]
        );
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let entries = vec![
            entry(b"<script>alert(1)</script>", false),
            entry(b"a\"b&c'd", false),
            entry(b"javascript:alert(1)", false),
            entry(b"\xff\n", false),
        ];
        let page = page(&Name::parse("/%3Cb%3E/").unwrap(), entries, true);
        for wrong in ["<script", "\"b&", "<b>", "href=\"javascript:", "\u{ff}"] {
            assert!(!page.contains(wrong), "{wrong} in {page}");
        }
        for right in [
            "<title>/&lt;b&gt;/</title>",
            "href=\"../\"",
            "href=\"javascript%3Aalert%281%29\"",
            "href=\"%FF%0A\"",
            "a&quot;b&amp;c&#39;d",
            "and more",
        ] {
            assert!(page.contains(right), "no {right} in {page}");
        }
    }
}
