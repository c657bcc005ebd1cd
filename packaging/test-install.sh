#!/bin/sh
# test-install.sh PACKAGES: what the installer promises, on a folder of packages and without a network.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
packages=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work/home of somebody"
mkdir "$HOME"
say() { echo "test-install: $1"; }
die() {
    say "$1" >&2
    exit 1
}

# Cut after each kilobyte, it does nothing.
size=$(wc -c < "$here/install.sh")
at=1000
while [ "$at" -lt "$size" ]; do
    head -c "$at" "$here/install.sh" > "$work/cut.sh"
    (cd "$work" && sh cut.sh --from "$packages" > "$work/said" 2>&1) || true
    [ -z "$(find "$HOME" -type f)" ] || die "cut after $at bytes it has installed something"
    at=$((at + 1000))
done
say "cut after each 1,000 of $size bytes it does nothing"

# To the folder that nobody named, whose path has spaces; twice.
for time in first second; do
    sh "$here/install.sh" --from "$packages" > "$work/said" || die "the $time time it fails: $(cat "$work/said")"
    "$HOME/.local/bin/blemish" --version > /dev/null || die "what it installed does not run"
done
[ "$(find "$HOME" -type f | wc -l)" = 1 ] || die "it has written more than the program: $(find "$HOME" -type f)"
sh "$here/install.sh" --from "$packages" --to "$work/to here" > /dev/null
cmp -s "$work/to here/blemish" "$HOME/.local/bin/blemish" || die "--to installs something else"
say "twice in a row, in folders with spaces"

# A wrong checksum, a list without the archive, options that there are not.
mkdir "$work/wrong"
cp "$packages"/*.tar.xz "$work/wrong/"
sed 's/^[0-9a-f]\{4\}/0000/' "$packages/SHA256SUMS" > "$work/wrong/SHA256SUMS"
for line in "--from $work/wrong" "--from $work/nowhere" "--from $packages --version 99.0" "--frm $packages" "--from"; do
    # shellcheck disable=SC2086 # words
    if sh "$here/install.sh" $line --to "$work/refused" > "$work/said" 2>&1; then die "\`$line\` is not refused"; fi
    grep -q '^error: ' "$work/said" || die "\`$line\` is refused without a word"
    [ ! -e "$work/refused" ] || die "\`$line\` has written something"
done
say "wrong checksums and options are refused"
