//! A thermostat that reacts to changed keys.
//!
//! Who measures writes readings into the realm's keys; a subscription makes messages of them:
//!
//! ```sh
//! althing actor spawn home/living thermostat
//! althing actor send home/living '{"set": {"target": 21, "hysteresis": 0.5}}'
//! althing actor subscribe home/living --keys /sensors/living
//! althing kv put /sensors/living/temperature 19.2
//! ```
//!
//! A heater is an actor of a program of yours, which takes `switch`. It is wired, and the thermostats must be let send to it:
//!
//! ```sh
//! althing grant program:thermostat actor/send --prefix home/boiler
//! althing actor send home/living '{"wire": {"heater": "home/boiler"}}'
//! ```
//!
//! It heats below target less hysteresis, stops above target plus hysteresis, and in between leaves
//! everything as it is. Each time that it changes its mind, the heater gets `{"switch": {"on": true}}`
//! or `false`; without a heater `heating` in the state is all there is. A value that is no temperature
//! is no reading: it is logged, and changes nothing.

use althing_sdk::{Actor, Result, actor, actor::Event, data, ensure, info, serde_json::json, warn};

data! {
    /// What a thermostat is told.
    pub enum Message {
        /// How warm it should be, and how far from that it may get, in degrees Celsius.
        Set {
            #[schemars(range(min = 5, max = 35))]
            target: f64,
            #[schemars(range(min = 0.1, max = 5))]
            hysteresis: f64,
        },
        /// Which actor heats; `null` is none.
        Wire { heater: Option<String> },
        /// A key changed.
        Event(Event),
    }

    /// A thermostat.
    pub struct State {
        #[schemars(range(min = 5, max = 35))]
        pub target: f64,
        #[schemars(range(min = 0.1, max = 5))]
        pub hysteresis: f64,
        pub heater: Option<String>,
        pub heating: bool,
        /// The newest reading.
        pub reading: Option<Reading>,
    }

    /// A temperature, and the entry that brought it.
    pub struct Reading {
        #[schemars(range(min = -60, max = 150))]
        pub celsius: f64,
        pub index: u64,
    }
}

/// The actor.
pub struct Thermostat;

impl Actor for Thermostat {
    type Message = Message;
    type State = State;

    fn init() -> State {
        State { target: 20.0, hysteresis: 0.5, heater: None, heating: false, reading: None }
    }

    fn handle(message: Message, mut state: State) -> Result<State> {
        match message {
            Message::Set { target, hysteresis } => {
                (state.target, state.hysteresis) = (target, hysteresis);
            }
            Message::Wire { heater } => {
                // The one that heats so far must not go on by itself.
                if state.heating {
                    switch(&state, false)?;
                }
                (state.heater, state.heating) = (heater, false);
            }
            Message::Event(event) => match reading(&event) {
                Some(reading) => state.reading = Some(reading),
                None => warn!("entry {}: no temperature", event.index),
            },
        }
        decide(state)
    }

    fn message_contract(message: &Message, _: &State) -> Result<()> {
        if let Message::Event(event) = message {
            let (program, topic) = (&event.program, &event.topic);
            ensure!(event.is_kv(), "{program}, {topic}: subscribe it to sys, kv");
        }
        Ok(())
    }

    fn state_contract(state: &State) -> Result<()> {
        let Some(Reading { celsius, .. }) = state.reading else {
            ensure!(!state.heating, "it heats, and knows no temperature");
            return Ok(());
        };
        let (low, high) = (state.target - state.hysteresis, state.target + state.hysteresis);
        ensure!(!state.heating || celsius <= high, "it heats at {celsius}, above {high}");
        ensure!(state.heating || celsius >= low, "it does not heat at {celsius}, below {low}");
        Ok(())
    }
}

actor!(Thermostat);

/// The temperature that a changed key is.
fn reading(event: &Event) -> Option<Reading> {
    let celsius: f64 = event.kv()?.value.text()?.trim().parse().ok()?;
    let is_sane = (-60.0..=150.0).contains(&celsius);
    is_sane.then_some(Reading { celsius, index: event.index })
}

fn decide(mut state: State) -> Result<State> {
    let Some(Reading { celsius, .. }) = state.reading else { return Ok(state) };
    let heat = if celsius < state.target - state.hysteresis {
        true
    } else if celsius > state.target + state.hysteresis {
        false
    } else {
        state.heating
    };
    if heat != state.heating {
        state.heating = heat;
        info!("{celsius} degrees, wants {}: {}", state.target, if heat { "heat" } else { "stop" });
        switch(&state, heat)?;
    }
    Ok(state)
}

fn switch(state: &State, on: bool) -> Result<()> {
    match &state.heater {
        Some(heater) => actor::send(heater, &json!({ "switch": { "on": on } })),
        None => Ok(()),
    }
}
