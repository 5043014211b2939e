//! isolate-run: runs an untrusted program in its own systemd scope.

mod dir_rule;
mod quantity;
mod request;

fn main() {}
