//! Tells the daemon what it was built from: the commit where there is a checkout, and the time. No network;
//! `SOURCE_DATE_EPOCH` makes the time reproducible. Runs again only when the checked-out commit changes.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // The file that says which commit is checked out, and the one of its branch.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]);
        // Cargo takes a file that is not there as changed each time.
        if let Some(path) = path.filter(|path| std::path::Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=ORCHESTRATORD_BUILD_COMMIT={commit}");
    println!("cargo:rustc-env=ORCHESTRATORD_BUILD_S={}", build_s());
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a build script has no configuration but its environment"
)]
fn build_s() -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    given.unwrap_or_else(|| now().map_or(0, |since| since.as_secs()))
}

/// What git answers, where there is a checkout and a git.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
