{ lib, rustPlatform, pkg-config, libseccomp }:

rustPlatform.buildRustPackage {
  pname = "isolate-run";
  version = "0.1.0";
  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;
  nativeBuildInputs = [ pkg-config ];
  buildInputs = [ libseccomp ];
  # Most tests need root and systemd: tests/run.
  doCheck = false;
  postInstall = ''
    for page in $($out/bin/isolate-run manual); do
      mkdir -p $out/share/man/man''${page##*.}
      $out/bin/isolate-run manual $page > $out/share/man/man''${page##*.}/$page
    done
    install -D -m 644 -t $out/lib/systemd/system units/*.service units/*.socket units/*.slice units/*.timer units/*.path
    substituteInPlace $out/lib/systemd/system/*.service --replace-quiet /usr/local/bin/ $out/bin/
    install -D -m 644 -t $out/share/polkit-1/actions polkit/io.github.isolate_run.policy
    install -D -m 644 -t $out/share/polkit-1/rules.d polkit/50-isolate-run.rules
    install -D -m 644 completions/isolate-run.bash $out/share/bash-completion/completions/isolate-run
    install -D -m 644 completions/_isolate-run $out/share/zsh/site-functions/_isolate-run
    install -D -m 644 completions/isolate-run.fish $out/share/fish/vendor_completions.d/isolate-run.fish
  '';
  meta = {
    description = "Runs untrusted programs in sandboxes, each in its own systemd scope";
    license = with lib.licenses; [ mit asl20 ];
    platforms = [ "x86_64-linux" ];
    mainProgram = "isolate-run";
  };
}
