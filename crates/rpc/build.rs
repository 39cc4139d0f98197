//! Turns the .proto file into Rust, without a system protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=../protocol/proto");
    let files =
        protox::compile(["proto/althing/rpc/v1/node.proto"], ["proto", "../protocol/proto"])?;
    tonic_prost_build::configure()
        .extern_path(".althing.v1", "::althing_protocol::v1")
        // Whole log entries pass through uncopied.
        .bytes(".althing.rpc.v1.LogEntry")
        .compile_fds(files)?;
    Ok(())
}
