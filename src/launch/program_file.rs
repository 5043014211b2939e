//! What the first bytes of a file say about how the kernel would execute it. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::report::{Format, Helper};

/// How much of a script's first line the kernel reads (linux/binfmts.h, BINPRM_BUF_SIZE).
const FIRST_LINE: usize = 256;

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A program that needs nothing else.
    Alone,
    /// One that needs another program.
    Needs(Helper, PathBuf),
    /// None that this machine can execute.
    Not(Format),
}

/// The machine that this program was built for (elf(5), e_machine), and the one of 32 bits that its
/// kernel may execute as well: EM_AARCH64 and EM_ARM, EM_X86_64 and EM_386.
const MACHINES: [u16; 2] = if cfg!(target_arch = "aarch64") {
    [183, 40]
} else {
    [62, 3]
};

/// The types of ELF files that can be executed: ET_EXEC and ET_DYN.
const EXECUTABLE: [u16; 2] = [2, 3];

/// The kind of a program header that names the loader (PT_INTERP).
const INTERPRETER: u32 = 3;

/// Finds out what a file is by its beginning.
pub(super) fn kind_of(beginning: &[u8]) -> Kind {
    if beginning.is_empty() {
        return Kind::Not(Format::Empty);
    }
    if let Some(line) = beginning.strip_prefix(b"#!") {
        let line = &line[..line.len().min(FIRST_LINE - 2)];
        let end = line.iter().position(|byte| *byte == b'\n');
        let line = &line[..end.unwrap_or(line.len())];
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | 0));
        return match words.find(|word| !word.is_empty()) {
            Some(word) => Kind::Needs(Helper::Interpreter, path(word)),
            None => Kind::Not(Format::Unknown),
        };
    }
    if !beginning.starts_with(b"\x7fELF") {
        return Kind::Not(Format::Unknown);
    }
    elf(beginning).unwrap_or(Kind::Not(Format::NoExecutable))
}

/// Reads an ELF header of this machine's byte order; `None` if it is cut off.
fn elf(file: &[u8]) -> Option<Kind> {
    let machine = u16_at(file, 18)?;
    if !MACHINES.contains(&machine) {
        return Some(Kind::Not(Format::Machine(machine)));
    }
    if !EXECUTABLE.contains(&u16_at(file, 16)?) {
        return Some(Kind::Not(Format::NoExecutable));
    }
    let is_64 = file.get(4) == Some(&2);
    // The program headers: where, how large, how many.
    let (start, size, count) = if is_64 {
        (u64_at(file, 32)?, u16_at(file, 54)?, u16_at(file, 56)?)
    } else {
        let start = u64::from(u32_at(file, 28)?);
        (start, u16_at(file, 42)?, u16_at(file, 44)?)
    };
    let start = usize::try_from(start).ok()?;
    for index in 0..usize::from(count) {
        let header = start.checked_add(index * usize::from(size))?;
        if u32_at(file, header) != Some(INTERPRETER) {
            continue;
        }
        let (offset, length) = if is_64 {
            (u64_at(file, header + 8)?, u64_at(file, header + 32)?)
        } else {
            let of = |at| u32_at(file, header + at).map(u64::from);
            (of(4)?, of(16)?)
        };
        let offset = usize::try_from(offset).ok()?;
        let end = offset.checked_add(usize::try_from(length).ok()?)?;
        let name = file.get(offset..end)?.split(|byte| *byte == 0).next()?;
        return Some(Kind::Needs(Helper::Loader, path(name)));
    }
    Some(Kind::Alone)
}

fn path(bytes: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(bytes)).to_owned()
}

fn bytes_at<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(file: &[u8], at: usize) -> Option<u16> {
    bytes_at(file, at).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    bytes_at(file, at).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: usize) -> Option<u64> {
    bytes_at(file, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit ELF file with one program header, and what that points to at its end.
    fn elf_file(kind: u16, machine: u16, header: u32, name: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 120];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01");
        put(16, &kind.to_le_bytes());
        put(18, &machine.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &1_u16.to_le_bytes());
        put(64, &header.to_le_bytes());
        put(72, &120_u64.to_le_bytes());
        put(96, &(name.len() as u64).to_le_bytes());
        file.extend_from_slice(name);
        file
    }

    #[test]
    fn a_script_names_its_interpreter_in_its_first_line() {
        let needs = |text: &str| match kind_of(text.as_bytes()) {
            Kind::Needs(Helper::Interpreter, path) => path.display().to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(needs("#!/bin/sh\necho"), "/bin/sh");
        assert_eq!(needs("#! \t/usr/bin/env python3\n"), "/usr/bin/env");
        assert_eq!(needs("#!/bin/sh\r\n"), "/bin/sh\r");
        assert_eq!(needs("#!/bin/sh"), "/bin/sh");
        assert_eq!(kind_of(b"#! \n"), Kind::Not(Format::Unknown));
    }

    #[test]
    fn an_elf_file_names_its_loader_and_its_machine() {
        let file = elf_file(3, MACHINES[0], INTERPRETER, b"/lib/ld.so\0");
        assert_eq!(
            kind_of(&file),
            Kind::Needs(Helper::Loader, "/lib/ld.so".into())
        );
        assert_eq!(kind_of(&elf_file(2, MACHINES[0], 1, b"")), Kind::Alone);
        let other = kind_of(&elf_file(2, 243, 1, b""));
        assert_eq!(other, Kind::Not(Format::Machine(243)));
        let object = kind_of(&elf_file(1, MACHINES[0], 1, b""));
        assert_eq!(object, Kind::Not(Format::NoExecutable));
    }

    #[test]
    fn whatever_the_bytes_are_they_are_something() {
        assert_eq!(kind_of(b""), Kind::Not(Format::Empty));
        assert_eq!(kind_of(b"hello"), Kind::Not(Format::Unknown));
        let mut file = elf_file(3, MACHINES[0], INTERPRETER, b"/lib/ld.so\0");
        for length in 0..file.len() {
            kind_of(&file[..length]);
        }
        file[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        kind_of(&file);
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[72..80].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(kind_of(&file), Kind::Not(Format::NoExecutable));
    }
}
