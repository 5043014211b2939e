# shellcheck shell=bash
# Functions shared by ./run, tests/run and the scripts in tests/guest: messages, what must be installed, where things are.

# The oldest compiler that builds the crate: Debian 13's.
oldest_rustc=1.85

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# at_least HAVE WANT: is version HAVE the same as WANT or newer?
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n1)" = "$2" ]; }

# follow PID FILE: prints FILE as it grows, until process PID is gone.
follow() { tail -n +1 -s 0.2 -f --pid="$1" "$2"; }

# streamed FILE COMMAND ...: runs COMMAND with its output in FILE and, as it comes, here. Through a file: a process that
# COMMAND left behind would hold a pipe open for ever. $running is the process, for a caller's trap.
running=
streamed() {
  local file=$1 status=0
  shift
  : >"$file"
  "$@" </dev/null >"$file" 2>&1 &
  running=$!
  follow "$running" "$file"
  wait "$running" || status=$?
  running=
  return "$status"
}

# items FILE ...: the names of tests in lists like tests/emulated.txt: without the reasons.
items() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$@"; }

# Where cargo builds the crate in folder $1.
target_dir() {
  case ${CARGO_TARGET_DIR:-} in
    '') echo "$1/target" ;;
    /*) echo "$CARGO_TARGET_DIR" ;;
    *) echo "$PWD/$CARGO_TARGET_DIR" ;;
  esac
}

# link_statically: sets $static, the options that make cargo link everything into what it builds, where this machine has
# the libraries for that. Such a program starts in half the time, and runs on every release of every distribution.
# (--target keeps the flags away from procedural macros, which cannot be static; so results are in target/HOST.)
static=() built_in=
link_statically() {
  local libraries host
  if [ -n "${ISOLATE_RUN_TARGET:-}" ]; then
    link_for_another_machine
    return
  fi
  libraries=$(pkg-config --variable=libdir libseccomp)
  host=$(rustc -vV | sed -n 's/^host: //p')
  if [ -e "$libraries/libseccomp.a" ] && [ -e "$(cc -print-file-name=libc.a)" ]; then
    export LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=$libraries
    static=(--target "$host" --config "target.$host.rustflags=['-Ctarget-feature=+crt-static']")
    built_in=$host/
  fi
}

# The same for a machine of another kind, ISOLATE_RUN_TARGET, as cargo names it: aarch64-unknown-linux-gnu. What that takes, of rustup
# its target or of Debian libstd-rust-dev:arm64 among it, is installed where that is possible; libseccomp.a is in LIBSECCOMP_LIB_PATH,
# in its place, or got out of Debian's archive.
link_for_another_machine() {
  local machine=${ISOLATE_RUN_TARGET%%-*}-linux-gnu libraries folder
  has "$machine-gcc" || install_packages "gcc-${machine/_/-}" libc6-dev-arm64-cross
  if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$ISOLATE_RUN_TARGET" ]; then
    has rustup || die "needs Rust's library for $ISOLATE_RUN_TARGET. On Debian: libstd-rust-dev:arm64"
    rustup --quiet target add "$ISOLATE_RUN_TARGET" >&2
  fi
  libraries=${LIBSECCOMP_LIB_PATH:-/usr/lib/$machine}
  # That of the older release: what it wants of libc is in every newer one.
  [ -e "$libraries/libseccomp.a" ] || libraries=$(unpacked bookworm arm64 libseccomp-dev)/usr/lib/$machine
  # Alone in a folder: there is no libseccomp.so beside it, and build.rs does not find it, which is for this machine. What it
  # wants of libc comes last.
  folder=$(target_dir "$top")/$ISOLATE_RUN_TARGET/static
  mkdir -p "$folder"
  ln -sfn "$libraries/libseccomp.a" "$folder/libseccomp.a"
  unset LIBSECCOMP_LIB_PATH LIBSECCOMP_LINK_TYPE
  static=(--target "$ISOLATE_RUN_TARGET" --config "target.$ISOLATE_RUN_TARGET.linker='$machine-gcc'" --config
    "target.$ISOLATE_RUN_TARGET.rustflags=['-Ctarget-feature=+crt-static','-Lnative=$folder','-Clink-arg=-Wl,-Bstatic','-Clink-arg=-lc']")
  built_in=$ISOLATE_RUN_TARGET/
}

# Where images are kept between runs.
cache_dir() { echo "${ISOLATE_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/isolate-run-tests}"; }

can_install() { [ "$(id -u)" = 0 ] && has apt-get; }

# A fresh machine has no package lists, or old ones. One unreachable third-party source must not stop the build: whether
# the packages can be had shows when they are installed.
refresh_package_lists() {
  [ -z "${package_lists_are_fresh:-}" ] || return 0
  apt-get update </dev/null >/dev/null 2>&1 || true
  package_lists_are_fresh=1
}

# Installs Debian packages, or says how to. Prints one line, and apt's output only when it fails.
install_packages() {
  [ $# -gt 0 ] || return 0
  if ! can_install; then
    die "missing here: $*
Install them first. On Debian or Ubuntu:
  sudo apt-get update && sudo apt-get install $*"
  fi
  say "installing: $*"
  refresh_package_lists
  local log
  log=$(mktemp)
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" \
    </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    die "could not install: $*"
  fi
  rm -f "$log"
}

rust_too_old() {
  die "needs rustc and cargo $oldest_rustc or newer; $1.
Get a newer one with rustup (https://rustup.rs):
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
}

# What `cargo build` needs: cargo and rustc, a linker, libc's and libseccomp's headers, the certificates for crates.io.
need_build_tools() {
  local missing=() packaged
  # rustup's folder is in the PATH of login shells only.
  has cargo || [ ! -x "${HOME:-/root}/.cargo/bin/cargo" ] || PATH=$PATH:${HOME:-/root}/.cargo/bin
  if ! { has cargo && has rustc; }; then
    if has apt-cache; then
      ! can_install || refresh_package_lists
      packaged=$(LC_ALL=C apt-cache policy rustc | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
      [ -z "$packaged" ] || at_least "$packaged" "$oldest_rustc" || rust_too_old "this system's packages offer $packaged"
    fi
    missing+=(cargo rustc)
  fi
  has cc || missing+=(gcc)
  [ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
  has pkg-config || missing+=(pkg-config)
  { has pkg-config && pkg-config --exists libseccomp; } || missing+=(libseccomp-dev)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -d /etc/apt ] || missing+=(ca-certificates)
  install_packages "${missing[@]}"
  local version
  version=$(rustc --version | cut -d' ' -f2)
  at_least "$version" "$oldest_rustc" || rust_too_old "rustc here is $version ($(command -v rustc))"
}

# need_cargo_deb: sets $cargo_deb, the program that makes Debian packages; built once, and kept beside the images.
cargo_deb_version=3.8.0
need_cargo_deb() {
  local place
  place=$(cache_dir)/cargo-deb-$cargo_deb_version
  cargo_deb=$place/bin/cargo-deb
  [ ! -x "$cargo_deb" ] || return 0
  say "building cargo-deb (the first time takes a few minutes)"
  # Not in this crate's own target folder, should the caller have named one.
  env -u CARGO_TARGET_DIR cargo install --quiet --locked --version "$cargo_deb_version" --root "$place" cargo-deb >&2
}

# need_rpmbuild: what makes packages of rpm.
need_rpmbuild() {
  has rpmbuild || install_packages rpm
}

# need_manual_tools: what reads the pages of the manual.
need_manual_tools() {
  local missing=()
  has mandoc || missing+=(mandoc)
  has man || missing+=(man-db)
  install_packages "${missing[@]}"
}

# The mirror of this machine's own apt, where it is a Debian; otherwise Debian's.
debian_mirror() {
  local mirror=
  if [ "$(. /etc/os-release && echo "${ID:-}")" = debian ]; then
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
      sed -n -e 's/^URIs: *\([^ ]*\).*/\1/p' -e 's/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' | grep '/debian/*$' | head -n1 || true)
  fi
  echo "${mirror:-http://deb.debian.org/debian}"
}

# unpacked RELEASE ARCHITECTURE PACKAGE: gets, once, a package out of Debian's archive and prints the folder where it is unpacked.
# Nothing is installed. apt itself gets it: it knows this machine's proxy, and checks by the archive's key; only its folders are others.
unpacked() {
  set -e # it is called for what it prints, where bash takes that away
  local base keyring=/usr/share/keyrings/debian-archive-keyring.gpg temporary options
  base=$(cache_dir)/$3-$1-$2
  mkdir -p "$(cache_dir)"
  # Two runs at once: the second one waits for the first one's.
  exec 8>"$(cache_dir)/$3.lock"
  flock 8
  if [ ! -d "$base" ]; then
    [ -e "$keyring" ] || install_packages debian-archive-keyring
    temporary=$base.building
    rm -rf "$temporary"
    mkdir -p "$temporary"/{lists,archives}/partial
    echo "deb [signed-by=$keyring] $(debian_mirror) $1 main" >"$temporary/sources.list"
    : >"$temporary/status"
    options=(-o "Dir::Etc::SourceList=$temporary/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$temporary/lists"
      -o "Dir::State::status=$temporary/status" -o "Dir::Cache=$temporary" -o "APT::Architecture=$2" -o "APT::Architectures::=$2"
      -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3)
    apt-get "${options[@]}" -qq update >&2
    (cd "$temporary" && apt-get "${options[@]}" -qq download "$3" >&2)
    dpkg-deb -x "$temporary/$3"_*.deb "$temporary/root"
    mv "$temporary/root" "$base"
    rm -rf "$temporary"
  fi
  exec 8>&-
  echo "$base"
}

# What the guest of arm64 needs besides. Programs of 32 bits run on such a machine, too.
need_arm64_tools() {
  local missing=()
  has arm-linux-gnueabihf-gcc || missing+=(gcc-arm-linux-gnueabihf libc6-dev-armhf-cross)
  has qemu-system-aarch64 || missing+=(qemu-system-arm)
  install_packages "${missing[@]}"
}

# What building and booting the guests needs.
need_guest_tools() {
  [ "$(uname -m)" = x86_64 ] || die "the guests are x86_64 systems that run binaries built here; this machine is $(uname -m)"
  local missing=()
  has qemu-system-x86_64 || missing+=(qemu-system-x86)
  has mmdebstrap || missing+=(mmdebstrap)
  has mke2fs || missing+=(e2fsprogs)
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
  # For guest/kernel, the kernel of the guests where KVM does not work.
  local tool
  for tool in make flex bison bc; do has "$tool" || missing+=("$tool"); done
  has xz || missing+=(xz-utils)
  install_packages "${missing[@]}"
}

# need_memory MIB WHAT, need_disk MIB FOLDER WHAT: ends the script where there is not so much to be had.
need_memory() {
  local free
  free=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo) / 1024))
  [ "$free" -ge "$1" ] || die "$2 needs $1 MiB of memory, and $free MiB are to be had. End what takes it, or add swap"
}
need_disk() {
  local free
  free=$(df --output=avail --block-size=1M "$2" | tail -n1 | tr -d ' ')
  [ "$free" -ge "$1" ] || die "$3 needs $1 MiB of disk in $2, and $free MiB are free. Make room, or choose another place: ISOLATE_TEST_CACHE"
}

# work_folder: makes a folder for what a run needs for a while, through which every user may walk, and prints it. On a disk:
# /tmp is in memory on many machines (a Debian 13 among them), and hundreds of MiB go there.
work_folder() {
  local folder
  folder=$(mktemp -d -p "${TMPDIR:-/var/tmp}" isolate-run-tests.XXXXXX)
  chmod 755 "$folder"
  echo "$folder"
}
