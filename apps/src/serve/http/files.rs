//! Files below a directory, and never outside it.
//!
//! The kernel resolves names below the directory's descriptor and refuses whatever would leave it,
//! symbolic links included (`RESOLVE_BENEATH`, openat2(2)), so nothing can be changed underneath
//! between a check and its use.
//!
//! The thread that asks moves packets, too, so it never waits for a disk: what the kernel has in
//! memory is used at once (`RESOLVE_CACHED`, `RWF_NOWAIT`), and all else is done by other threads.

use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use blocking::unblock;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use super::listing::{Entry, MAX_ENTRIES};

/// Tries when something is renamed while a name is resolved.
const MAX_TRIES: usize = 8;

/// The directory that is served.
#[derive(Debug, Clone)]
pub struct Root(Arc<OwnedFd>);

/// What a name stands for.
#[derive(Debug)]
pub enum Found {
    /// A file.
    File(OpenFile),
    /// A directory, to [read](list).
    Directory(OwnedFd),
    /// Something that is neither: a socket, a pipe, a device.
    Other,
}

/// A file to send.
#[derive(Debug)]
pub struct OpenFile {
    file: Arc<OwnedFd>,
    /// Its length in bytes.
    pub len: u64,
    /// When it was changed, in nanoseconds after 1970.
    pub modified: i128,
    /// Reading without waiting works.
    nowait: bool,
}

impl Root {
    /// Opens the directory.
    ///
    /// # Errors
    /// Those of open(2), and `ENOSYS` of a kernel before Linux 5.6.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Root(Arc::new(rustix::fs::open(dir, flags, Mode::empty())?));
        root.open_now(Path::new("."), ResolveFlags::empty())?;
        Ok(root)
    }

    /// Opens what has this name.
    ///
    /// # Errors
    /// Those of openat2(2); `EXDEV` for what is not below the directory.
    pub async fn find(&self, path: &Path) -> io::Result<Found> {
        match self.open_now(path, ResolveFlags::CACHED) {
            // Not all of it is in memory, or the kernel (before 5.12) cannot tell.
            Err(Errno::AGAIN | Errno::INVAL) => {
                let (root, path) = (self.clone(), path.to_path_buf());
                unblock(move || root.open_patiently(&path)).await
            }
            found => Ok(found?),
        }
    }

    fn open_patiently(&self, path: &Path) -> io::Result<Found> {
        for _ in 0..MAX_TRIES {
            match self.open_now(path, ResolveFlags::empty()) {
                Err(Errno::AGAIN) => {}
                found => return Ok(found?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    fn open_now(&self, path: &Path, how: ResolveFlags) -> rustix::io::Result<Found> {
        // Without NONBLOCK, opening a pipe waits for whoever writes to it.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = how | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let fd = openat2(&*self.0, path, flags, Mode::empty(), resolve)?;
        let stat = fstat(&fd)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Found::File(OpenFile::new(fd, &stat)),
            FileType::Directory => Found::Directory(fd),
            _ => Found::Other,
        })
    }
}

impl OpenFile {
    fn new(fd: OwnedFd, stat: &Stat) -> Self {
        let modified = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        OpenFile { file: Arc::new(fd), len, modified, nowait: true }
    }

    /// Reads up to `len` bytes from `offset` on, if they are in memory.
    ///
    /// # Errors
    /// `WouldBlock` when they are not: [`read`](Self::read) gets them then. Else those of read(2).
    pub fn try_read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if !self.nowait {
            return Err(Errno::AGAIN.into());
        }
        let mut bytes = vec![0; len];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match preadv2(&*self.file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => {
                bytes.truncate(count);
                Ok(bytes)
            }
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                self.nowait = false;
                Err(Errno::AGAIN.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads up to `len` bytes from `offset` on, on another thread.
    pub fn read(
        &self,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>> + Send + 'static {
        let file = Arc::clone(&self.file);
        unblock(move || {
            let mut bytes = vec![0; len];
            let count = pread(&*file, &mut bytes[..], offset)?;
            bytes.truncate(count);
            Ok(bytes)
        })
    }
}

/// What is in a directory, and whether there is more.
///
/// # Errors
/// Those of getdents(2).
pub async fn list(directory: OwnedFd) -> io::Result<(Vec<Entry>, bool)> {
    unblock(move || {
        let mut entries = Vec::new();
        for entry in Dir::new(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                return Ok((entries, true));
            }
            entries.push(Entry { name, is_dir: entry.file_type() == FileType::Directory });
        }
        Ok((entries, false))
    })
    .await
}

/// The media type of a file of this name.
pub fn media_type(path: &Path) -> String {
    mime_guess::from_path(path).first_or_octet_stream().to_string()
}

#[cfg(test)]
mod tests;
