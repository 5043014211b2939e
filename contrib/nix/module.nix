{ config, lib, pkgs, ... }:

let
  cfg = config.services.isolate-run;
  format = pkgs.formats.toml { };
in {
  options.services.isolate-run = {
    enable = lib.mkEnableOption "isolate-run, sandboxes for untrusted programs";
    package = lib.mkOption {
      type = lib.types.package;
      description = "The package.";
    };
    settings = lib.mkOption {
      type = format.type;
      default = { };
      example = { ceilings.memory = "2G"; };
      description = "isolate.toml: see isolate.toml(5).";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    # Programs are in the store, and links in the system's profile lead there.
    # As in isolate.toml, but for /lib, which there is none; programs are in the store, and links of the system's profile
    # lead there.
    services.isolate-run.settings.directories.rules = lib.mkDefault [
      "box=./box:rw"
      "bin"
      "dev=dev:fs"
      "dev/shm=tmpfs:fs:rw"
      "proc=proc:fs"
      "sys/fs/cgroup=cgroup:fs:maybe"
      "tmp:tmp"
      "usr"
      "nix/store"
      "run/current-system/sw"
    ];
    environment.etc."isolate/isolate.toml".source = format.generate "isolate.toml" cfg.settings;
    users.groups.isolate = { };
    security.polkit.enable = true;
    systemd.packages = [ cfg.package ];
    systemd.sockets.isolate.wantedBy = [ "sockets.target" ];
    systemd.paths.isolate-removal.wantedBy = [ "paths.target" ];
    systemd.tmpfiles.rules = [
      "d /var/local/lib/isolate 0755 root root -"
      "d /run/isolate 0755 root root -"
    ];
  };
}
