//! Turns the .proto files into Rust, without a system protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["actor", "entry", "genesis", "member", "outcome", "state", "sys"]
        .map(|name| format!("proto/althing/v1/{name}.proto"));
    prost_build::Config::new().compile_fds(protox::compile(files, ["proto"])?)?;
    Ok(())
}
