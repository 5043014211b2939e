//! Compiles the usual system call filter, by the same rules as the program does for every other
//! one.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use libseccomp::ScmpArch;

#[path = "src/launch/filter/always.rs"]
mod always;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "src/barrier.rs"]
mod barrier;
#[path = "src/launch/filter/refusal.rs"]
mod refusal;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "src/launch/filter/rules.rs"]
mod rules;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "src/syscall_set.rs"]
mod syscall_set;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A static program relocates itself each time it starts, 5000 addresses one by one; from a
    // bitmap of them this takes a fifth of the instructions.
    if env::var("CARGO_CFG_TARGET_ENV")? == "gnu" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        keep_together()?;
    }
    for file in [
        "build.rs",
        "link/often.ld",
        "src/barrier.rs",
        "src/launch/filter/always.rs",
        "src/launch/filter/refusal.rs",
        "src/launch/filter/rules.rs",
        "src/syscall_set.rs",
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    // The flags of these two are the same as far as rules name them, and a test compares what the
    // program would compile there. For another kind of machine the program does it.
    let is_native = env::var("TARGET")? == env::var("HOST")?;
    let arch = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => Some(ScmpArch::X8664),
        "aarch64" => Some(ScmpArch::Aarch64),
        _ => is_native.then(ScmpArch::native),
    };
    let usual = syscall_set::SyscallSet::default();
    let filter = arch.map(|arch| rules::compile_for(arch, usual));
    let filter = filter.transpose().unwrap_or_else(|error| {
        println!("cargo::warning=the usual system call filter is left to the program: {error}");
        None
    });
    let filter = filter.unwrap_or_default();
    let mut text = String::from("[");
    for libc::sock_filter { code, jt, jf, k } in filter {
        writeln!(
            text,
            "sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},"
        )?;
    }
    text.push(']');
    let folder = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&folder).join("usual_filter.rs"), text)?;
    Ok(())
}

/// Has the linker put what runs execute in one place: each piece of 64 KiB of a program in which
/// something is executed is mapped when that is reached, and taken away when the process ends. That
/// is for what the optimizer makes of a release: other builds have other functions. mold, which may
/// also be preloaded, and gold know no such scripts.
fn keep_together() -> Result<(), env::VarError> {
    let named = ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_LINKER", "LD_PRELOAD"];
    let named = named.map(|name| env::var(name).unwrap_or_default());
    let is_named = |linker: &str| named.iter().any(|text| text.contains(linker));
    if env::var("OPT_LEVEL")? == "s" && !is_named("mold") && !is_named("gold") {
        let crate_dir = env::var("CARGO_MANIFEST_DIR")?;
        println!("cargo::rustc-link-arg-bins=-T");
        println!("cargo::rustc-link-arg-bins={crate_dir}/link/often.ld");
    }
    Ok(())
}
