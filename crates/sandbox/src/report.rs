//! All that there is to say about an image, for its author: also of one that is refused.

use crate::{
    config,
    inspect::{self, Kind},
    interfaces, meter,
};
use std::ops::Range;
use wasmparser::{
    BinaryReaderError, ComponentExternalKind, Encoding, KnownCustom, Name, NameSectionReader,
    Parser, Payload, Validator,
};

/// What an image is made of, and everything that is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What it is; none when it is refused.
    pub kind: Option<Kind>,
    /// Its size.
    pub bytes: u64,
    /// The interfaces it imports, with their versions.
    pub imports: Vec<Import>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Those exports that one of its kind need not have, and that change how it is run.
    pub optional_exports: Vec<String>,
    /// Core modules in it, also those of components in it.
    pub modules: u32,
    /// Functions that these define.
    pub functions: u32,
    /// The largest of them.
    pub largest_function: Option<Function>,
    /// Linear memory that an instance starts with.
    pub memory_bytes_min: u64,
    /// Why it is refused, each reason once; none when it is accepted.
    pub refusals: Vec<String>,
}

/// An interface that an image imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name, with its version.
    pub name: String,
    /// Whether one of its kind may import it, and it is as it should be.
    pub offered: bool,
}

/// A function of a core module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Which core module, in the order of the image.
    pub module: u32,
    /// Its index there.
    pub index: u32,
    /// Its name, where the image has kept names.
    pub name: Option<String>,
    /// Size of its body.
    pub bytes: u64,
}

/// Reads `bytes`, whatever they are.
///
/// Unlike [`inspect`](crate::inspect()) it looks at every function, and does not stop at the first
/// reason to refuse.
pub fn report(bytes: &[u8]) -> Report {
    let mut report = Report { bytes: bytes.len() as u64, ..Report::default() };
    if let Err(error) = inspect::check_header(bytes) {
        report.refuse(error.message);
        return report;
    }
    if let Err(error) = Walk::default().read(bytes, &mut report) {
        report.refuse(inspect::malformed(&error).message);
    }
    let world = interfaces::world(&report.exports);
    report.optional_exports = world.optional(&report.exports);
    match Validator::new_with_features(config::features()).validate_all(bytes) {
        Ok(types) => {
            let mut refusals = Vec::new();
            for import in &mut report.imports {
                let checked = world.check_import(types.as_ref(), &import.name);
                import.offered = checked.is_ok();
                refusals.extend(checked.err());
            }
            refusals.extend(world.check_exports(types.as_ref(), &report.exports).err());
            refusals.into_iter().for_each(|error| report.refuse(error.message));
        }
        Err(error) => report.refuse(inspect::malformed(&error).message),
    }
    // What the walk above has no eye for: counts and sizes, and what only the meter sees.
    let inspected = inspect::inspect(bytes).and_then(|inspection| {
        report.memory_bytes_min = inspection.memory_bytes_min;
        meter::meter(bytes).map(|_| inspection.kind)
    });
    match inspected {
        Ok(kind) if report.refusals.is_empty() => report.kind = Some(kind),
        Ok(_) => {}
        Err(error) => report.refuse(error.message),
    }
    report
}

impl Report {
    fn refuse(&mut self, reason: String) {
        if !self.refusals.contains(&reason) {
            self.refusals.push(reason);
        }
    }
}

/// A walk over all sections.
#[derive(Default)]
struct Walk {
    /// How many components and modules are open.
    depth: u32,
    /// Functions that the module imports: those it defines come after them.
    imported: u32,
    /// Functions that it defined so far.
    defined: u32,
}

impl Walk {
    fn read(&mut self, bytes: &[u8], report: &mut Report) -> Result<(), BinaryReaderError> {
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    self.depth += 1;
                    if encoding == Encoding::Module {
                        report.modules += 1;
                        (self.imported, self.defined) = (0, 0);
                    }
                }
                Payload::End(_) => self.depth = self.depth.saturating_sub(1),
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let function = matches!(import?.ty, wasmparser::TypeRef::Func(_));
                        self.imported += u32::from(function);
                    }
                }
                Payload::CodeSectionEntry(body) => self.function(body.range(), report),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        self.names(names, report);
                    }
                }
                Payload::ComponentImportSection(imports) if self.depth == 1 => {
                    for import in imports {
                        let named = inspect::named(&import?);
                        let import = named.map(|name| Import { name, offered: false });
                        report.imports.extend(import);
                    }
                }
                Payload::ComponentExportSection(exports) if self.depth == 1 => {
                    for export in exports {
                        let export = export?;
                        if export.kind != ComponentExternalKind::Type {
                            report.exports.push(export.name.name.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn function(&mut self, body: Range<usize>, report: &mut Report) {
        let bytes = body.len() as u64;
        if report.largest_function.as_ref().is_none_or(|largest| bytes > largest.bytes) {
            let index = self.imported.saturating_add(self.defined);
            let module = report.modules.saturating_sub(1);
            report.largest_function = Some(Function { module, index, name: None, bytes });
        }
        self.defined += 1;
        report.functions += 1;
    }

    /// Names come after the bodies. What is wrong with them does not matter to anybody.
    fn names(&self, names: NameSectionReader<'_>, report: &mut Report) {
        let module = report.modules.saturating_sub(1);
        let Some(largest) = report.largest_function.as_mut() else { return };
        if largest.module != module {
            return;
        }
        for names in names.into_iter().flatten() {
            let Name::Function(names) = names else { continue };
            let name = names.into_iter().flatten().find(|name| name.index == largest.index);
            largest.name = name.map(|name| name.name.to_owned()).or(largest.name.take());
        }
    }
}
