#!/bin/sh
# Puts the C library, its headers, blemish.pc and the CMake package below a prefix; nothing there says where the prefix is.
#
#     crates/blemish-capi/install.sh PREFIX                builds with the profile dist, then installs
#     crates/blemish-capi/install.sh PREFIX FOLDER         installs what was built into FOLDER, such as target/release
#
# The static library is installed where FOLDER has one. To build it:
#     cargo rustc --profile dist -p blemish-capi --lib --crate-type staticlib
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: install.sh PREFIX [FOLDER]" >&2
    exit 2
fi
prefix=$1
if [ $# -eq 2 ]; then
    built=$2
else
    (cd "$here" && cargo build --profile dist --locked -p blemish-capi && cargo rustc --profile dist --locked -p blemish-capi --lib --crate-type staticlib)
    built=${CARGO_TARGET_DIR:-$here/../../target}/dist
fi
if [ ! -f "$built/libblemish_capi.so" ] && [ ! -f "$built/libblemish_capi.dylib" ]; then
    echo "error: $built holds no libblemish_capi; build it with \`cargo build --profile dist -p blemish-capi\`" >&2
    exit 1
fi

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")
number=$(sed -n 's/^#define BLEMISH_ABI_VERSION \([0-9]*\).*/\1/p' "$here/include/blemish.h")
major=${version%%.*}
rest=${version#*.}
minor=${rest%%.*}
fill() { sed -e "s/@VERSION@/$version/" -e "s/@MAJOR@/$major/" -e "s/@MINOR@/$minor/" -e "s/@LIBS@/-lpthread -ldl -lm/" "$1"; }

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig" "$prefix/lib/cmake/blemish" "$prefix/share/blemish/csharp"
cp "$here/include/blemish.h" "$here/include/blemish.hpp" "$prefix/include/"
cp "$here/bindings/csharp/Blemish.cs" "$prefix/share/blemish/csharp/"
if [ -f "$built/libblemish_capi.so" ]; then
    # A program that uses the old file goes on with it.
    rm -f "$prefix/lib/libblemish.so.$version"
    cp "$built/libblemish_capi.so" "$prefix/lib/libblemish.so.$version"
    ln -sf "libblemish.so.$version" "$prefix/lib/libblemish.so.$number"
    ln -sf "libblemish.so.$number" "$prefix/lib/libblemish.so"
else
    rm -f "$prefix/lib/libblemish.$number.dylib"
    cp "$built/libblemish_capi.dylib" "$prefix/lib/libblemish.$number.dylib"
    ln -sf "libblemish.$number.dylib" "$prefix/lib/libblemish.dylib"
fi
if [ -f "$built/libblemish_capi.a" ]; then cp "$built/libblemish_capi.a" "$prefix/lib/libblemish.a"; fi
fill "$here/packaging/blemish.pc.in" > "$prefix/lib/pkgconfig/blemish.pc"
cp "$here/packaging/blemishConfig.cmake" "$prefix/lib/cmake/blemish/"
fill "$here/packaging/blemishConfigVersion.cmake.in" > "$prefix/lib/cmake/blemish/blemishConfigVersion.cmake"
