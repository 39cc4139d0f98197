//! A booking over three actors: all of it, or none.
//!
//! One actor is the agency, the others are inventories, say of rooms and of seats. The agency reserves
//! at the first, then at the second. When the second has nothing left, the agency gives back what the
//! first has reserved: there is no transaction over actors, there is compensation.
//!
//! ```json
//! to hotel:   {"stock": {"items": 5}}
//! to airline: {"stock": {"items": 5}}
//! to agency:  {"organise": {"agency": "agency", "first": "hotel", "second": "airline"}}
//! to agency:  {"book": {"order": "o1"}}
//! ```
//!
//! Whatever happens, nothing is lost: the state contract of an inventory says that what is free and
//! what is reserved are together what there was. Each message may come twice and does no harm.
//!
//! ```text
//!   agency ── reserve ──> first ── reserved ──> agency ── reserve ──> second ── reserved ──> booked
//!                           └──── refused ────> failed                  │
//!   failed <── released ── first <── release ── agency <──── refused ───┘
//! ```

use althing_sdk::{Actor, Result, actor, bail, data, ensure};
use std::collections::BTreeMap;

data! {
    /// What the three tell each other, and are told.
    pub enum Message {
        /// Be an inventory of so many items.
        Stock {
            #[schemars(range(min = 0, max = 1_000_000))]
            items: u32,
        },
        /// Be an agency, with the ids of all three: an actor does not know its own.
        Organise { agency: String, first: String, second: String },
        /// To an agency: book one of each.
        Book {
            #[schemars(length(min = 1, max = 64))]
            order: String,
        },
        /// To an inventory: hold an item for `order`, and tell `agency`.
        Reserve { order: String, agency: String, leg: Leg },
        /// To an inventory: what was held for `order` is free again.
        Release { order: String, agency: String, leg: Leg },
        /// To an agency: an item is held.
        Reserved { order: String, leg: Leg },
        /// To an agency: there is nothing left.
        Refused { order: String, leg: Leg },
        /// To an agency: nothing is held any more.
        Released { order: String, leg: Leg },
    }

    /// Which inventory: an answer repeats it, for a message does not say who sent it.
    #[derive(Copy, Eq)]
    pub enum Leg {
        First,
        Second,
    }

    /// What an actor is.
    pub enum State {
        /// Nothing yet.
        Idle,
        Inventory(Inventory),
        Agency(Agency),
    }

    /// What there is of something.
    pub struct Inventory {
        pub items: u32,
        pub free: u32,
        /// Orders that hold an item.
        #[schemars(extend("maxItems" = 10_000))]
        pub held: Vec<String>,
    }

    /// Orders, and how far they are.
    pub struct Agency {
        pub id: String,
        pub first: String,
        pub second: String,
        #[schemars(extend("maxProperties" = 10_000))]
        pub orders: BTreeMap<String, Order>,
    }

    /// How far an order is.
    #[derive(Copy, Eq)]
    pub enum Order {
        /// The first is asked.
        Begun,
        /// The first holds an item, the second is asked.
        Half,
        /// Both hold an item. The end.
        Booked,
        /// The second had nothing left; the first is told to give back.
        Undoing,
        /// Nobody holds anything. The end.
        Failed,
    }
}

/// The actor.
pub struct Saga;

impl Actor for Saga {
    type Message = Message;
    type State = State;

    fn init() -> State {
        State::Idle
    }

    fn handle(message: Message, state: State) -> Result<State> {
        Ok(match (state, message) {
            (State::Idle, Message::Stock { items }) => {
                State::Inventory(Inventory { items, free: items, held: Vec::new() })
            }
            (State::Idle, Message::Organise { agency, first, second }) => {
                State::Agency(Agency { id: agency, first, second, orders: BTreeMap::new() })
            }
            (State::Inventory(inventory), message) => State::Inventory(inventory.handle(message)?),
            (State::Agency(agency), message) => State::Agency(agency.handle(message)?),
            (State::Idle, _) => bail!("it is neither an inventory nor an agency yet"),
        })
    }

    fn message_contract(message: &Message, state: &State) -> Result<()> {
        use Message::{Book, Organise, Refused, Release, Released, Reserve, Reserved, Stock};
        let (fits, role) = match state {
            State::Idle => (matches!(message, Stock { .. } | Organise { .. }), "nothing yet"),
            State::Inventory(_) => {
                (matches!(message, Reserve { .. } | Release { .. }), "an inventory")
            }
            State::Agency(_) => (
                matches!(message, Book { .. } | Reserved { .. } | Refused { .. } | Released { .. }),
                "an agency",
            ),
        };
        ensure!(fits, "it is {role}, which takes no such message");
        Ok(())
    }

    fn state_contract(state: &State) -> Result<()> {
        let State::Inventory(Inventory { items, free, held }) = state else { return Ok(()) };
        ensure!(
            u64::from(*free) + held.len() as u64 == u64::from(*items),
            "of {items} items {free} are free and {} held: one is lost, or there is one too many",
            held.len()
        );
        Ok(())
    }
}

actor!(Saga);

impl Inventory {
    fn handle(mut self, message: Message) -> Result<Self> {
        match message {
            Message::Reserve { order, agency, leg } => {
                let is_held = self.held.contains(&order);
                if !is_held && self.free == 0 {
                    actor::send(&agency, &Message::Refused { order, leg })?;
                    return Ok(self);
                }
                if !is_held {
                    self.free -= 1;
                    self.held.push(order.clone());
                }
                actor::send(&agency, &Message::Reserved { order, leg })?;
            }
            Message::Release { order, agency, leg } => {
                if let Some(at) = self.held.iter().position(|held| *held == order) {
                    self.held.remove(at);
                    self.free += 1;
                }
                actor::send(&agency, &Message::Released { order, leg })?;
            }
            _ => bail!("an inventory takes no such message"),
        }
        Ok(self)
    }
}

impl Agency {
    fn handle(mut self, message: Message) -> Result<Self> {
        let order = match &message {
            Message::Book { order }
            | Message::Reserved { order, .. }
            | Message::Refused { order, .. }
            | Message::Released { order, .. } => order.clone(),
            _ => bail!("an agency takes no such message"),
        };
        let next = match (self.orders.get(&order), message) {
            (None, Message::Book { .. }) => self.reserve(&order, Leg::First)?,
            (Some(Order::Begun), Message::Reserved { leg: Leg::First, .. }) => {
                self.reserve(&order, Leg::Second)?
            }
            (Some(Order::Half), Message::Reserved { leg: Leg::Second, .. }) => Order::Booked,
            (Some(Order::Begun), Message::Refused { leg: Leg::First, .. }) => Order::Failed,
            (Some(Order::Half), Message::Refused { leg: Leg::Second, .. }) => {
                self.release(&order, Leg::First)?;
                Order::Undoing
            }
            // Somebody asked again for what was given up.
            (Some(Order::Failed), Message::Reserved { leg, .. }) => {
                self.release(&order, leg)?;
                Order::Failed
            }
            (Some(Order::Undoing), Message::Released { leg: Leg::First, .. }) => Order::Failed,
            // It came before, and did what it was to do.
            _ => return Ok(self),
        };
        self.orders.insert(order, next);
        Ok(self)
    }

    fn reserve(&self, order: &str, leg: Leg) -> Result<Order> {
        let (inventory, next) = match leg {
            Leg::First => (&self.first, Order::Begun),
            Leg::Second => (&self.second, Order::Half),
        };
        let (order, agency) = (order.to_owned(), self.id.clone());
        actor::send(inventory, &Message::Reserve { order, agency, leg })?;
        Ok(next)
    }

    fn release(&self, order: &str, leg: Leg) -> Result<()> {
        let inventory = match leg {
            Leg::First => &self.first,
            Leg::Second => &self.second,
        };
        let (order, agency) = (order.to_owned(), self.id.clone());
        actor::send(inventory, &Message::Release { order, agency, leg })
    }
}
