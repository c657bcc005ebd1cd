//! The name under which programs that are linked with the library look for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The number is `BLEMISH_ABI_VERSION`.
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux" | "android" | "freebsd") => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libblemish.so.0");
        }
        Ok("macos") => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libblemish.0.dylib");
        }
        _ => {}
    }
}
