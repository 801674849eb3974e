//! Where control sockets are: in the user's runtime directory, one file a stack.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::geteuid;

use crate::failure::Failure;

/// Longest name of a stack.
const MAX_NAME: usize = 32;

/// The user at the start. In a private network the process is somebody else to itself, and files
/// are where its user looks for them all the same.
static USER: OnceLock<u32> = OnceLock::new();

/// Remembers who the user is; to be called before anything changes that.
pub fn remember_user() {
    let _ = USER.set(geteuid().as_raw());
}

/// The directory of the user's control sockets.
pub fn directory() -> PathBuf {
    let user = *USER.get_or_init(|| geteuid().as_raw());
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{user}"));
    let usable = |path: &PathBuf| {
        path.is_absolute()
            && fs::metadata(path)
                .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
    };
    match [given, Some(usual)].into_iter().flatten().find(usable) {
        Some(runtime) => runtime.join("tapping"),
        None => std::env::temp_dir().join(format!("tapping-{user}")),
    }
}

/// Makes the directory, or sees that what is there is the user's alone.
pub fn make_directory(path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    match made {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_directory(path),
        Err(error) => Err(Failure::new(format_args!("cannot make {}: {error}", path.display()))),
    }
}

/// Whether the directory is the user's, and nobody else can put anything there.
pub fn check_directory(path: &Path) -> Result<(), Failure> {
    let found = fs::symlink_metadata(path).map_err(|error| {
        Failure::new(format_args!("cannot look at {}: {error}", path.display()))
    })?;
    let what = if !found.is_dir() {
        "is no directory"
    } else if found.uid() != geteuid().as_raw() {
        "belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "can be written to by others"
    } else {
        return Ok(());
    };
    Err(Failure::new(format_args!("{} {what}; control sockets are not safe there", path.display())))
}

/// Whether a word can name a stack.
pub fn is_name(word: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=MAX_NAME).contains(&word.len()) && !word.starts_with(['.', '-']) && word.chars().all(fit)
}

/// The file of a stack.
pub fn file(name: &str, pid: u32) -> PathBuf {
    directory().join(format!("{name}-{pid}.sock"))
}

/// A control socket that somebody answers at.
#[derive(Debug)]
pub struct Running {
    pub name: String,
    pub pid: u32,
    pub path: PathBuf,
}

/// The stacks that run, by name and process. What dead ones left behind is removed.
pub fn running() -> Result<Vec<Running>, Failure> {
    let directory = directory();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let what = format!("cannot read {}: {error}", directory.display());
            return Err(Failure::new(what));
        }
    };
    check_directory(&directory)?;
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some((name, pid)) = path.file_name().and_then(parse) else { continue };
        match UnixStream::connect(&path) {
            Ok(_) => found.push(Running { name, pid, path }),
            // Nothing appears here before it listens, so nobody will answer any more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let _ = fs::remove_file(&path);
            }
            Err(_) => {}
        }
    }
    found.sort_by(|a, b| (&a.name, a.pid).cmp(&(&b.name, b.pid)));
    Ok(found)
}

/// Name and process of a file.
fn parse(file: &OsStr) -> Option<(String, u32)> {
    let (name, pid) = file.to_str()?.strip_suffix(".sock")?.rsplit_once('-')?;
    (is_name(name)).then_some((name.to_string(), pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tell_names_and_processes() {
        let of = |name: &str| parse(OsStr::new(name));
        assert_eq!(of("serve-12.sock"), Some(("serve".into(), 12)));
        assert_eq!(of("my-stack-7.sock"), Some(("my-stack".into(), 7)));
        for other in ["serve.sock", "serve-x.sock", "-3.sock", ".a-3.sock", "a-3", "a/b-3.sock"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_fit_for_files() {
        for name in ["a", "serve", "web_1.2-x"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".x", "-x", "a b", "a/b", "ä", &"x".repeat(33)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn directories_of_others_are_refused() {
        let base = std::env::temp_dir().join(format!("tapping-place-{}", std::process::id()));
        make_directory(&base).expect("it can be made");
        make_directory(&base).expect("it is there, and ours");
        assert_eq!(fs::metadata(&base).expect("it is there").mode() & 0o777, 0o700);
        let open = base.join("open");
        fs::create_dir(&open).expect("it can be made");
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .expect("it is ours");
        assert!(make_directory(&open).expect_err("not safe").0.contains("written to by others"));
        let link = base.join("link");
        std::os::unix::fs::symlink(&base, &link).expect("it can be made");
        assert!(make_directory(&link).expect_err("not safe").0.contains("is no directory"));
        fs::remove_dir_all(&base).expect("it is ours");
    }
}
