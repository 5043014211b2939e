//! In the place of `isolate-run`: a shell script that answers as the id of a job wants, and writes
//! down which jobs it has begun.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Ids begin with what becomes of the job.
const SCRIPT: &str = r#"#!/bin/sh
case $1 in
  --version) echo "isolate-run 9.9.9, a fake"; exit ;;
  config) echo '{"digest":"d1"}'; exit ;;
esac
say() { printf '{"format":1,"id":"%s","outcome":"%s","reason":"as it is called","steps":[]}\n' "$id" "$1"; }
while read -r line; do
  id=${line#*\"id\":\"}; id=${id%%\"*}
  case $line in '{"cancel"'*) continue ;; esac
  echo "$id" >>"$FAKE_RAN"
  case $id in
    internal-*) say internal ;;
    refused-*) say refused ;;
    die-*) kill -9 $$ ;;
    slow-*) sleep 0.05; say done ;;
    long-*) sleep 4; say done ;;
    hang-*) read -r line; say cancelled ;;
    ended-*) say cancelled ;;
    large-*)
      printf '{"format":1,"id":"%s","outcome":"done","steps":[{"name":"0","stdout":{"text":"' "$id"
      head -c 1500000 /dev/zero | tr '\0' x
      printf '"}}]}\n' ;;
    *) say done ;;
  esac
done
"#;

/// Puts it into a folder.
pub fn program(dir: &Path) -> PathBuf {
    let place = dir.join("isolate-run");
    fs::write(&place, SCRIPT).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    place
}
