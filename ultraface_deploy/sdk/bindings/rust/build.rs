//! Links libultraface from ULTRAFACE_LIB_DIR, or from where CMake puts it.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=ULTRAFACE_LIB_DIR");
    let named = env::var_os("ULTRAFACE_LIB_DIR").map(PathBuf::from);
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let folder = named.unwrap_or_else(|| here.join("../../build/shared"));
    if !folder.join("libultraface.so").exists() && !folder.join("libultraface.dylib").exists() {
        panic!(
            "{}: no libultraface; build it with cmake --preset shared, or set ULTRAFACE_LIB_DIR",
            folder.display()
        );
    }
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=dylib=ultraface");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
}
