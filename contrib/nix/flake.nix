# nix build 'git+file:///path/to/the/clone?dir=contrib/nix'
{
  description = "isolate-run: untrusted programs in sandboxes, each in its own systemd scope";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
    in {
      packages.${system}.default = pkgs.callPackage ./package.nix { };
      nixosModules.default = { lib, ... }: {
        imports = [ ./module.nix ];
        services.isolate-run.package = lib.mkDefault self.packages.${system}.default;
      };
    };
}
