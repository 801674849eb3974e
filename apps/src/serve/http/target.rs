//! From the target of a request to the name of a file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What need not be written as `%xx` in a segment of a path (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The directory that is served although it begins with a dot (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// A name below the directory that is served: no `..` in it, nothing hidden, no zero byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Relative; `.` is the directory itself.
    pub path: PathBuf,
    /// It was written with a slash at the end, so that a directory is meant.
    pub is_dir: bool,
}

/// Why a target has no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// It is no path.
    Malformed,
    /// It names what is not shown.
    Hidden,
}

impl Name {
    /// Reads the path of a request's target.
    pub fn parse(path: &str) -> Result<Self, Bad> {
        let rest = path.strip_prefix('/').ok_or(Bad::Malformed)?;
        let mut segments: Vec<Vec<u8>> = Vec::new();
        let mut is_dir = true;
        for segment in rest.split('/') {
            let segment: Vec<u8> = percent_decode_str(segment).collect();
            is_dir = false;
            match segment.as_slice() {
                // RFC 3986 §5.2.4, and what is written twice counts once.
                b"" | b"." => is_dir = true,
                b".." => {
                    segments.pop().ok_or(Bad::Malformed)?;
                    is_dir = true;
                }
                bytes if bytes.contains(&0) || bytes.contains(&b'/') => return Err(Bad::Malformed),
                bytes if is_hidden(bytes) => return Err(Bad::Hidden),
                _ => segments.push(segment),
            }
        }
        let mut path = PathBuf::from(".");
        path.extend(segments.into_iter().map(OsString::from_vec));
        Ok(Name { path, is_dir })
    }

    /// As the path of a target.
    pub fn encoded(&self) -> String {
        let mut text = String::new();
        for part in self.path.iter().filter(|part| *part != ".") {
            text.push('/');
            text.push_str(&encode(part.as_encoded_bytes()));
        }
        if self.is_dir || text.is_empty() {
            text.push('/');
        }
        text
    }

    /// The file of this name in the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path, for people.
    pub fn shown(&self) -> String {
        let path = self.path.strip_prefix(".").unwrap_or(Path::new(""));
        let slash = if path.as_os_str().is_empty() { "" } else { "/" };
        format!("/{}{slash}", path.display())
    }
}

/// A name as a segment of a path.
pub fn encode(name: &[u8]) -> String {
    percent_encode(name, SEGMENT).to_string()
}

/// Whether a name is not shown: as for ls(1), one that begins with a dot.
pub fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.') && name != WELL_KNOWN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(path: &str) -> (String, bool) {
        let name = Name::parse(path).unwrap_or_else(|bad| panic!("{path}: {bad:?}"));
        (name.path.to_str().expect("UTF-8").to_string(), name.is_dir)
    }

    #[test]
    fn names_of_files_and_directories() {
        for (path, expected) in [
            ("/", (".", true)),
            ("/a.txt", ("./a.txt", false)),
            ("/a/b/", ("./a/b", true)),
            ("//a//b", ("./a/b", false)),
            ("/a/./b", ("./a/b", false)),
            ("/a/../b", ("./b", false)),
            ("/a/..", (".", true)),
            ("/a/.", ("./a", true)),
            ("/%61%20b", ("./a b", false)),
            ("/100%", ("./100%", false)),
            ("/%C3%A4", ("./ä", false)),
            ("/.well-known/x", ("./.well-known/x", false)),
            ("/a..b", ("./a..b", false)),
        ] {
            assert_eq!(name(path), (expected.0.to_string(), expected.1), "{path}");
        }
    }

    #[test]
    fn nothing_above_and_nothing_hidden() {
        for (path, bad) in [
            ("", Bad::Malformed),
            ("*", Bad::Malformed),
            ("a", Bad::Malformed),
            ("/..", Bad::Malformed),
            ("/../etc/passwd", Bad::Malformed),
            ("/a/../../b", Bad::Malformed),
            ("/%2e%2e/etc/passwd", Bad::Malformed),
            ("/a/%2E%2E/%2e./b", Bad::Malformed),
            ("/..%2fetc%2fpasswd", Bad::Malformed),
            ("/a%2fb", Bad::Malformed),
            ("/a%00.txt", Bad::Malformed),
            ("/.git/config", Bad::Hidden),
            ("/%2egit/config", Bad::Hidden),
            ("/a/.ssh", Bad::Hidden),
            ("/...", Bad::Hidden),
        ] {
            assert_eq!(Name::parse(path), Err(bad), "{path}");
        }
    }

    #[test]
    fn encoded_names_are_read_back() {
        for path in ["/", "/a", "/a/b/", "/%3Cscript%3E", "/a%3Ab%3F%23%25/", "/%C3%A4%FF"] {
            assert_eq!(Name::parse(path).unwrap().encoded(), path);
        }
        // No host may be read into it.
        assert_eq!(Name::parse("//evil.example/%2e").unwrap().encoded(), "/evil.example/");
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_stays_below(path in "[/.%2eEfF0a\\\\~ ]{0,24}") {
            if let Ok(name) = Name::parse(&path) {
                let parts: Vec<&[u8]> =
                    name.path.iter().map(|part| part.as_encoded_bytes()).collect();
                prop_assert!(name.path.is_relative());
                prop_assert_eq!(parts[0], b".");
                for part in &parts[1..] {
                    prop_assert!(!part.contains(&b'/') && !part.contains(&0) && !is_hidden(part));
                }
                prop_assert_eq!(Name::parse(&name.encoded()).map(|again| again.path), Ok(name.path));
            }
        }
    }
}
