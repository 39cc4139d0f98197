//! `include_dir!` notices changed files, not files that were added: those have to be watched.

fn main() {
    for dir in ["templates", "../../sdk", "../../wit"] {
        println!("cargo:rerun-if-changed={dir}");
    }
}
