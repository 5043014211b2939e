//! `--rootless`, which every command about boxes has.

/// What it does, in a line.
pub(super) const HELP: &str =
    "Do without root and without the broker: by the user's own systemd and a user namespace";

/// The same with what it takes.
pub(super) const LONG_HELP: &str = "Do without root and without the broker: by the user's own systemd and a user \
    namespace\n\nThe same happens by itself where no broker is installed. It takes the package uidmap, and \
    subordinate ids in /etc/subuid.";
