//! Ticks: what is due without anybody asking for it.
//!
//! A tick has no work list: what is due stands in the state, and is done in the order of its keys, as far
//! as a tick may. What it leaves is due again, and one that finds nothing changes nothing. Timers,
//! deliveries and upgrades have a part of its writes each; they cannot take it from each other. Fuel is
//! used by deliveries and upgrades: together what [`limits::DELIVERIES_FUEL_MAX`] says, and one run more.

use super::{Actors, books, timers};
use crate::{DeliveryExplained, Fault, Halt, Machine, context::Events};
use althing_protocol::limits;
use althing_state::View;

/// When there is something to do for a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// At this time of the log's clock, in microseconds since the Unix epoch.
    At(u64),
    /// Not until an instruction changes something.
    Never,
}

impl Machine {
    /// When a tick has something to do, at the time `now_us` after the entry of `view`. Whenever this says
    /// now, a tick does some of it: mail of actors that do not run now has no place in the queue.
    ///
    /// # Errors
    /// When this node's disk fails.
    pub fn due(&self, view: &View, now_us: u64) -> Result<Due, Halt> {
        let queue = books::queue(view)?;
        if queue.ready > 0 || queue.upgrading > 0 {
            return Ok(Due::Now);
        }
        if queue.timers == 0 {
            return Ok(Due::Never);
        }
        let now_us = now_us.max(view.applied().timestamp_us);
        Ok(match timers::next_due(view)? {
            Some(due_us) if due_us <= now_us => Due::Now,
            Some(due_us) => Due::At(due_us),
            None => Due::Never,
        })
    }
}

impl Actors<'_> {
    /// Does what is due. `seen` gets what became of the messages that it delivers.
    pub(crate) fn tick(
        &mut self,
        events: &mut Events,
        seen: Option<&mut Vec<DeliveryExplained>>,
    ) -> Result<(), Fault> {
        self.fire_timers()?;
        let mut queue = self.queue()?;
        let (deliveries, fuel) = (limits::TICK_DELIVERIES_MAX, limits::DELIVERIES_FUEL_MAX);
        if queue.upgrading == 0 {
            return self.deliver(deliveries, fuel, seen);
        }
        // What comes first begins nothing more once half of the fuel is used, what comes behind it once
        // all of it is. They take turns: when one run of the first uses all, the other one is next.
        let upgrades_first = queue.upgrades_first;
        queue.upgrades_first = !upgrades_first;
        self.put_queue(&queue)?;
        if upgrades_first {
            self.go_on_with_upgrades(fuel / 2, events)?;
            return self.deliver(deliveries, fuel, seen);
        }
        self.deliver(deliveries, fuel / 2, seen)?;
        self.go_on_with_upgrades(fuel, events)
    }
}
