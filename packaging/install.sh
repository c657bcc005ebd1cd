#!/bin/sh
# Installs Blemish: one archive, its checksum verified, the program to ~/.local/bin. Asks for no root, changes no file of a shell.
#
#     sh install.sh [--to DIR] [--from PLACE] [--version VERSION]
#
# --to DIR        where the program goes; ~/.local/bin by default
# --from PLACE    a folder that holds the archive and SHA256SUMS, for machines without a network, or the address of one
# --version V     which version; the newest that PLACE has by default
#
# All of it is in a function that the last line calls, so that half a script does nothing.

main() {
    set -eu
    to=${HOME:-}/.local/bin
    from=https://github.com/blemish-ad/blemish/releases/latest/download
    version=
    while [ $# -gt 0 ]; do
        case $1 in
            --to | --from | --version)
                [ $# -ge 2 ] || fail "$1 needs a value"
                case $1 in
                    --to) to=$2 ;;
                    --from) from=$2 ;;
                    --version) version=$2 ;;
                esac
                shift 2
                ;;
            -h | --help)
                echo "usage: install.sh [--to DIR] [--from PLACE] [--version VERSION]"
                return 0
                ;;
            *) fail "there is no option $1; usage: install.sh [--to DIR] [--from PLACE] [--version VERSION]" ;;
        esac
    done
    [ "$to" != /.local/bin ] || fail "HOME is not set; say where the program goes with --to DIR"

    target=$(target)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    fetch SHA256SUMS
    # The names of archives are those of the list, whose last is the newest.
    archive=$(sed -n "s/^[0-9a-f]\{64\}  \(blemish-${version:-[0-9][0-9A-Za-z.+-]*}-$target\.tar\.xz\)\$/\1/p" "$work/SHA256SUMS" | tail -n 1)
    [ -n "$archive" ] || fail "$from has no archive ${version:+of version $version }for $target"
    fetch "$archive"
    grep "  $archive\$" "$work/SHA256SUMS" > "$work/sum"
    (cd "$work" && check sum) || fail "$archive is not what SHA256SUMS says; download it again, and do not use it"

    (cd "$work" && tar -xf "$archive") || fail "$archive cannot be unpacked; tar needs xz: install the package xz-utils"
    folder=${archive%.tar.xz}
    "$work/$folder/blemish" --version > /dev/null || fail "the program does not run on this machine"
    mkdir -p "$to"
    # Into place by a rename: a program that runs goes on.
    cp "$work/$folder/blemish" "$to/.blemish.new"
    mv -f "$to/.blemish.new" "$to/blemish"
    echo "installed $("$to/blemish" --version) as $to/blemish"
    case :${PATH:-}: in
        *:"$to":*) ;;
        *) echo "$to is not in PATH" ;;
    esac
}

fail() {
    echo "error: $1" >&2
    exit 1
}

# The target triple of this machine.
target() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64 | Linux-amd64) echo x86_64-unknown-linux-gnu ;;
        Linux-aarch64 | Linux-arm64) echo aarch64-unknown-linux-gnu ;;
        Darwin-arm64) echo aarch64-apple-darwin ;;
        Darwin-x86_64) echo x86_64-apple-darwin ;;
        *) fail "there is no archive for $(uname -s) on $(uname -m); build from source with cargo" ;;
    esac
}

# Brings a file of the place into the work folder.
fetch() {
    case $from in
        https://* | http://*)
            if command -v curl > /dev/null; then
                curl --fail --silent --show-error --location --output "$work/$1" "$from/$1" || fail "cannot download $from/$1"
            elif command -v wget > /dev/null; then
                wget --quiet --output-document="$work/$1" "$from/$1" || fail "cannot download $from/$1"
            else
                fail "there is neither curl nor wget; download the archive elsewhere and name its folder with --from DIR"
            fi
            ;;
        *)
            [ -f "$from/$1" ] || fail "$from holds no $1"
            cp "$from/$1" "$work/$1"
            ;;
    esac
}

# Checks a list of checksums.
check() {
    if command -v sha256sum > /dev/null; then
        sha256sum --check --status "$1" 2> /dev/null || sha256sum -c "$1" > /dev/null 2>&1
    else
        shasum -a 256 -c "$1" > /dev/null 2>&1
    fi
}

main "$@"
