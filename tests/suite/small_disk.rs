//! A small file system in memory, for tests of full disks.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory of this size in MiB. Needs root.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts it.
    pub(crate) fn mount(mebibytes: u64) -> Self {
        Self::try_mount(mebibytes).expect("a small file system could not be mounted: this test needs root")
    }

    /// Mounts it. Returns `None`, with a message, where that is not possible.
    pub(crate) fn try_mount(mebibytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: a small file system could not be mounted; run the tests as root");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the file system but for this number of bytes.
    pub(crate) fn fill_but(&self, free: u64) {
        let disk = rustix::fs::statvfs(self.path()).unwrap();
        let size = (disk.f_bavail * disk.f_frsize).checked_sub(free).unwrap();
        fs::write(self.path().join("filler"), vec![0; usize::try_from(size).unwrap()]).unwrap();
    }

    /// Fills the file system until the returned file is removed.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let (mut file, mut size) = (File::create(&path).unwrap(), 1 << 20);
        while size > 0 {
            match file.write(&vec![0; size]) {
                Ok(written) if written > 0 => {}
                _ => size /= 2,
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
