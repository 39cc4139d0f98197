//! `althing sign`: a publisher says that an image is a version of a program.

use crate::{
    context::Context,
    exit::Outcome,
    output::fields,
    package::Package,
    signature::{Signature, beside},
};
use althing_protocol::Error;
use serde_json::json;
use std::path::PathBuf;

/// Sign a package as its publisher; no node is needed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The signature covers the program's name, the component and the version. Programs that have
publishers (althing rules) take no other images. deploy and upgrade find the file by themselves when
it lies beside the component.

Examples:
  althing key new release
  althing sign counter.wasm --key release
  althing rules counter --publisher release
  althing upgrade counter.wasm")]
pub(crate) struct Sign {
    /// The component, a .wasm file
    file: PathBuf,
    /// The package's manifest
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Sign it as this program, whatever name the manifest gives
    #[arg(long = "as", value_name = "PROGRAM")]
    program: Option<String>,
    /// Where the signature goes [default: FILE with the ending .sig]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Sign) -> Outcome {
    let manifest = args.manifest.as_deref();
    let package = Package::unsigned(&args.file, manifest, args.program.as_deref())?;
    let key = context.signer()?.ok_or_else(|| {
        Error::invalid(
            "key to sign with: none is named; say --key NAME, and `althing key new NAME` makes one",
        )
    })?;
    let out = args.out.clone().unwrap_or_else(|| beside(&args.file));
    let signature = Signature::write(&out, &key, package.claim())?;
    let (program, version) = (package.program.to_string(), package.manifest.version.clone());
    let image = package.hash.to_string();
    let document = json!({
        "file": out, "program": program, "version": version, "image": image,
        "publisher": signature.publisher, "signature": signature.signature,
    });
    context.out.show(&document, || {
        fields(&[
            ("program", program.clone()),
            ("version", version.clone()),
            ("image", image.clone()),
            ("publisher", signature.publisher.clone()),
            ("signature", out.display().to_string()),
        ])
    })
}
