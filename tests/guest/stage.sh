# shellcheck shell=bash
# shellcheck disable=SC2154  # tests/run, which reads this, has: work, here, guests, filter, keep, kind_process, with_package
# The part of tests/run that runs tests in guests.

# What one guest has, in MiB.
guest_memory=1024

# listed: the tests of all root_* and system_* targets, as the suite names them.
listed() {
  local kind name binary
  while read -r kind name binary; do
    case $kind:$name in
      test:root* | test:system*)
        "$binary" --list --format terse 2>/dev/null </dev/null | sed -n "s/^\(.*\): test\$/$name::\1/p"
        ;;
    esac
  done <"$work/built" | LC_ALL=C sort
}

# in_guests PART SECONDS BOOT-OPTIONS -- SUITE-ARGUMENT ...: runs the suite in a guest of each release, at the same time: each
# guest has processors of its own.
in_guests() {
  local part=$1 limit=$2 release start=$SECONDS process status options=() tails=() folder
  local -A boot_process=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  heading "root_* and system_* tests, $part: ${guests[*]}"
  for release in "${guests[@]}"; do
    folder="$work/$part-$release"
    mkdir "$folder"
    in_background "$folder/log" "$here/guest/boot" -r "$release" -t "$limit" -m "$guest_memory" -o "$folder/out" \
      -c "$folder/console" "${options[@]}" -p "$work/guest" -- \
      env "${with_package[@]}" SUITE_FILTER="$filter" SUITE_THREADS=2 SUITE_LIMIT=900 SUITE_SETTLE=20 ./suite /out "$@"
    boot_process[$release]=$process
    follow "$process" "$folder/log" 2>/dev/null | sed -u "s/^/$release | /" &
    tails+=($!)
  done
  for release in "${guests[@]}"; do
    folder="$work/$part-$release"
    status=0
    wait "${boot_process[$release]}" || status=$?
    collect "$part" "$release" "$folder/out/results" $((SECONDS - start))
    cat "$folder/out/ran" >>"$work/ran-$release" 2>/dev/null || true
    [ "$status" = 0 ] || finished_badly "$part" "$release" "$status"
    if [ -n "$keep" ]; then
      mkdir -p "$(cache_dir)/logs"
      cp "$folder/console" "$(cache_dir)/logs/$part-$release.console"
      [ ! -e "$folder/out/journal" ] || cp "$folder/out/journal" "$(cache_dir)/logs/$part-$release.journal"
      say "kept: $(cache_dir)/logs/$part-$release.*"
    fi
  done
  wait "${tails[@]}" || true
}

# Each test must have run somewhere: in a guest of the release, or as the lists say where else.
all_ran() {
  local release missing
  [ -z "$filter" ] || return 0
  for release in "${guests[@]}"; do
    touch "$work/ran-$release" "$work/ran-here"
    {
      sed 's/ [^ ]*$//' "$work/ran-$release"
      sed 's/ [^ ]*$//' "$work/ran-here" | grep -F -x -f <(items "$here/not_in_uml.txt") || true
      # Without the stage for them nobody has asked for these.
      if ! wants soak; then listed | grep -f <(items "$here/native.txt" | sed 's/.*/^&::/') || true; fi
    } | LC_ALL=C sort -u >"$work/ran"
    missing=$(listed | LC_ALL=C comm -23 - "$work/ran")
    if [ -n "$missing" ]; then
      say "PROBLEM: these tests ran nowhere with $release:"
      say "$missing"
      row "ran nowhere" "$release" 0 "$(wc -l <<<"$missing")" 0
    fi
  done
}

guest_stage() {
  local release kind names lists=source/tests
  mapfile -t names < <(targets root; targets system)
  if [ -z "$(targets system)" ]; then say "PROBLEM: there is no tests/system_*.rs"; row guest - 0 1 0; return; fi
  heading "system images: ${guests[*]}"
  for release in "${guests[@]}"; do
    finished_image "$release" || return 0
  done
  if ! wait "$kind_process"; then
    cat "$work/kind.log"
    say "PROBLEM: no guest can be booted"
    row guest - 0 1 0
    return
  fi
  kind=$(tail -n1 "$work/kind.log")
  say "guests are: $kind"
  case $kind in
    kvm)
      in_guests kvm 1800 -k kvm -- -x $lists/two_cpus.txt "${names[@]}"
      in_guests two-cpus 300 -k kvm -n 2 -- -i $lists/two_cpus.txt "${names[@]}"
      ;;
    uml)
      in_guests uml 2700 -k uml -- -x $lists/two_cpus.txt -x $lists/not_in_uml.txt -x $lists/native.txt "${names[@]}"
      in_guests two-cpus 300 -k uml -n 2 -- -i $lists/two_cpus.txt "${names[@]}"
      in_guests emulated 1800 -k emulated -n 2 -- -i $lists/emulated.txt "${names[@]}"
      ;;
    emulated) in_guests emulated 2700 -k emulated -n 2 -- -x $lists/native.txt "${names[@]}" ;;
  esac
  all_ran
}
