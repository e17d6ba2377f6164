//! In the place of `binary-install`, as far as wasm-pack calls it: a program is used where it lies, and none is downloaded.

use anyhow::{Result, bail};
use std::env::consts::EXE_EXTENSION;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Cache {
    pub destination: PathBuf,
}

impl Cache {
    pub fn new(name: &str) -> Result<Cache> {
        bail!("{name} keeps its programs where WASM_PACK_CACHE says, and that is not set")
    }

    pub fn at(path: &Path) -> Cache {
        Cache { destination: path.to_path_buf() }
    }

    pub fn join(&self, path: &Path) -> PathBuf {
        self.destination.join(path)
    }

    pub fn download(&self, _install: bool, name: &str, _binaries: &[&str], _address: &str) -> Result<Option<Download>> {
        bail!("{name} is not on PATH in the version that Cargo.lock names, and this wasm-pack downloads nothing")
    }
}

#[derive(Clone, Debug)]
pub struct Download {
    root: PathBuf,
}

impl Download {
    pub fn at(path: &Path) -> Download {
        Download { root: path.to_path_buf() }
    }

    pub fn binary(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name).with_extension(EXE_EXTENSION);
        if !path.is_file() {
            bail!("there is no {}", path.display());
        }
        Ok(path)
    }

    pub fn path(&self) -> PathBuf {
        self.root.clone()
    }
}
