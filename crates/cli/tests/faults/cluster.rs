//! Machines that are one realm.

use crate::machine::{Machine, until};
use althing_client::{Client, Keystore, Options};
use althing_protocol::SecretKey;
use futures::future::join_all;
use serde_json::Value;

pub(crate) struct Cluster {
    pub(crate) machines: Vec<Machine>,
    /// The founder's key, which signs for all clients.
    pub(crate) key: SecretKey,
}

impl Cluster {
    /// `count` machines that vote.
    pub(crate) async fn of(count: usize) -> Self {
        Self::with(count, &[]).await
    }

    /// `count` machines that vote, with these settings each.
    pub(crate) async fn with(count: usize, settings: &[&str]) -> Self {
        Self::on((0..count).map(|_| Machine::new(settings)).collect()).await
    }

    /// These machines; the first founds the realm.
    pub(crate) async fn on(machines: Vec<Machine>) -> Self {
        let mut machines = machines.into_iter();
        let mut founder = machines.next().unwrap();
        founder.start().await;
        // Each node knows its own user by a key that has no grants yet.
        founder.user.says(&["grant", "any", "*/*"]);
        let keys = Keystore::open(founder.user.path("config/althing/keys")).unwrap();
        let key = keys.load("founder").unwrap();
        let mut cluster = Self { machines: vec![founder], key };
        for machine in machines {
            cluster.add(machine).await;
        }
        cluster
    }

    /// Lets a machine join as a voter, and waits until it votes. Gives its place.
    pub(crate) async fn add(&mut self, mut machine: Machine) -> usize {
        let token = self.running().user.json(&["invite"])["token"].as_str().unwrap().to_owned();
        machine.join(&token).await;
        self.machines.push(machine);
        let place = self.machines.len() - 1;
        let machine = &mut self.machines[place];
        until("it votes", async || {
            machine.status().await.is_some_and(|status| status["role"] == "voter")
        })
        .await;
        place
    }

    /// A machine that can be asked.
    pub(crate) fn running(&self) -> &Machine {
        self.machines.iter().find(|machine| machine.runs()).unwrap()
    }

    /// What each machine says of itself; none where none answers.
    pub(crate) async fn statuses(&mut self) -> Vec<Option<Value>> {
        join_all(self.machines.iter_mut().map(Machine::status)).await
    }

    /// The place of the machine that leads: it says so, and no other one knows of a later leader.
    pub(crate) async fn leader(&mut self) -> usize {
        let mut found = None;
        until("a node leads", async || {
            let statuses = self.statuses().await;
            let known = || statuses.iter().enumerate().filter_map(|(n, s)| Some((n, s.as_ref()?)));
            let term = known().filter_map(|(_, status)| status["term"].as_u64()).max();
            let leads = |status: &Value| status["leads"] == true && status["term"].as_u64() == term;
            found = known().find(|(_, status)| leads(status)).map(|(place, _)| place);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until all machines that run follow the same leader in the same term.
    pub(crate) async fn agree_on_leader(&mut self) {
        until("all nodes know the same leader", async || {
            let statuses = self.statuses().await.into_iter().zip(&self.machines);
            let running = statuses.filter(|(_, machine)| machine.runs());
            let known = running.map(|(status, _)| {
                let status = status?;
                status["leader"]
                    .is_number()
                    .then(|| (status["leader"].clone(), status["term"].clone()))
            });
            let known: Vec<_> = known.collect();
            known.iter().all(|one| one.is_some() && *one == known[0])
        })
        .await;
    }

    /// The place of a machine that runs and does not lead.
    pub(crate) async fn follower(&mut self) -> usize {
        let leader = self.leader().await;
        let mut places = (0..self.machines.len()).rev();
        places.find(|place| *place != leader && self.machines[*place].runs()).unwrap()
    }

    /// Waits until all machines that run have applied the same entries, with the same results.
    pub(crate) async fn agree(&mut self) {
        until("all nodes agree", async || {
            let statuses = self.statuses().await.into_iter().zip(&self.machines);
            let running = statuses.filter(|(_, machine)| machine.runs());
            let values = running.map(|(status, _)| {
                let status = status?;
                Some(["index", "entry_chain", "result_chain"].map(|name| status[name].clone()))
            });
            let values: Vec<_> = values.collect();
            values.iter().all(|value| value.is_some() && *value == values[0])
        })
        .await;
    }

    /// Has every machine that runs recompute its chains, signatures and state.
    pub(crate) fn verify(&self) {
        for machine in self.machines.iter().filter(|machine| machine.runs()) {
            assert_eq!(machine.user.json(&["log", "verify"])["agrees"], true);
        }
    }

    /// A client of each machine that runs.
    pub(crate) async fn clients(&self, options: Options) -> Vec<Client> {
        let running = self.machines.iter().filter(|machine| machine.runs());
        join_all(running.map(|machine| machine.client(&self.key, options))).await
    }
}
