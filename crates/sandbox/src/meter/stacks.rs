//! How the budget of a component is divided between the instances that count for themselves.

use crate::limits;
use wasmparser::{BinaryReaderError, ComponentInstance, Encoding, Parser, Payload};

/// Each gets at least this part of the budget, which leaves half for the largest.
const LEAST: u64 = limits::STACK_BUDGET as u64 / (2 * limits::COMPONENT_INSTANCES_MAX as u64);

/// Instances of components with core modules of their own, and the bytes of code of these.
#[derive(Clone, Copy, Default)]
struct Code {
    instances: u64,
    bytes: u64,
}

impl Code {
    fn and(self, more: Self) -> Self {
        Self {
            instances: self.instances.saturating_add(more.instances),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }
}

/// A component that is being read.
struct Frame {
    /// Its place among all, in the order in which they begin.
    at: usize,
    /// What comes to life with each of its components.
    components: Vec<Code>,
    /// Its own modules.
    own: Code,
    /// The components that it instantiates.
    made: Code,
}

/// What the components of a component need.
#[derive(Default)]
pub(super) struct Stacks {
    /// Bytes of code in the modules of each, in the order in which they begin.
    code: Vec<u64>,
    total: Code,
}

impl Stacks {
    pub(super) fn of(component: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut stacks = Self::default();
        let mut frames: Vec<Frame> = Vec::new();
        let mut is_module = false;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match (payload, frames.last_mut()) {
                (Payload::Version { encoding: Encoding::Component, .. }, _) => {
                    let (own, made) = (Code::default(), Code::default());
                    frames.push(Frame { at: stacks.code.len(), components: vec![], own, made });
                    stacks.code.push(0);
                }
                (Payload::Version { encoding: Encoding::Module, .. }, Some(frame)) => {
                    is_module = true;
                    frame.own.instances = 1;
                }
                (Payload::CodeSectionStart { size, .. }, Some(frame)) => {
                    frame.own.bytes += u64::from(size);
                }
                (Payload::ComponentInstanceSection(instances), Some(frame)) => {
                    for instance in instances {
                        if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                            let inner = frame.components.get(component_index as usize);
                            frame.made = frame.made.and(inner.copied().unwrap_or_default());
                        }
                    }
                }
                (Payload::End(_), _) if std::mem::take(&mut is_module) => {}
                (Payload::End(_), _) => {
                    let Some(frame) = frames.pop() else { continue };
                    stacks.code[frame.at] = frame.own.bytes;
                    let all = frame.own.and(frame.made);
                    match frames.last_mut() {
                        Some(outer) => outer.components.push(all),
                        None => stacks.total = all,
                    }
                }
                _ => {}
            }
        }
        Ok(stacks)
    }

    /// What an instance of component `at` may use: the more the more code it has, since a runtime
    /// recurses, and a stub beside it does not. All instances together have no more than the budget.
    pub(super) fn budget(&self, at: usize) -> u32 {
        let bytes = self.code.get(at).copied().unwrap_or(0);
        let whole = u64::from(limits::STACK_BUDGET);
        let rest = whole.saturating_sub(LEAST.saturating_mul(self.total.instances));
        let share = u128::from(rest) * u128::from(bytes) / u128::from(self.total.bytes.max(1));
        let budget = LEAST + u64::try_from(share).unwrap_or(0).min(rest);
        u32::try_from(budget).unwrap_or(limits::STACK_BUDGET)
    }
}
