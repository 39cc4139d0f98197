//! Many signed batches in flight over one stream.

use crate::{
    Options,
    client::{Stub, check, check_envelope, counted, no_answer},
    retry::{Backoff, is_passing, is_refusal},
    session::{Fate, Numbers, Session},
};
use althing_protocol::{Error, Result, SecretKey, limits, v1};
use althing_rpc::{from_status, v1::SubmitReply};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Batches that wait to be signed, and envelopes that wait in the connection.
const QUEUE: usize = 16;
/// Signed envelopes that are not answered, in bytes.
const IN_FLIGHT_BYTES_MAX: usize = 4 * limits::ENVELOPE_BYTES_MAX;

/// Many signed batches in flight. What was handed over goes on when this is dropped.
///
/// A broken connection comes back, and what was not answered is sent again, the same bytes: each
/// batch is done once. Batches are sent in order, but one that the node refuses for the moment is
/// sent again behind others: wait for the answer before sending what depends on it. Once a batch
/// got no answer in time, the stream takes no other.
#[derive(Debug)]
pub struct SubmitStream {
    jobs: mpsc::Sender<Job>,
    driver: JoinHandle<()>,
}

/// The answer to a batch: one outcome for each instruction, in order.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Vec<v1::Outcome>>>);

impl Future for Pending {
    type Output = Result<Vec<v1::Outcome>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_| Err(stopped())))
    }
}

impl SubmitStream {
    /// Hands over 1 to 256 instructions, waiting for room in the queue; they are signed together.
    /// What they give is in what this returns, now or later.
    ///
    /// # Errors
    /// `invalid` when an instruction breaks a limit.
    pub async fn send(&self, instructions: Vec<v1::Instruction>) -> Result<Pending> {
        check(&instructions)?;
        let (answer, pending) = oneshot::channel();
        self.jobs.send(Job { instructions, answer }).await.map_err(|_| stopped())?;
        Ok(Pending(pending))
    }

    /// Waits until every batch is answered.
    pub async fn finish(self) {
        drop(self.jobs);
        // It ends when nothing is left to do; a panic in it shows in every pending answer.
        let _ = self.driver.await;
    }
}

pub(crate) fn start(
    stub: Stub,
    options: Options,
    key: SecretKey,
    session: Arc<Session>,
) -> SubmitStream {
    let (jobs, queue) = mpsc::channel(QUEUE);
    let driver = Driver {
        stub,
        options,
        key,
        session,
        queue,
        next: None,
        ended: false,
        unanswered: BTreeMap::new(),
        unanswered_bytes: 0,
        to_send: BTreeSet::new(),
        backoff: Backoff::new(options.retry),
    };
    SubmitStream { jobs, driver: tokio::spawn(driver.run()) }
}

fn stopped() -> Error {
    Error::unavailable("stream: stopped before the answer came; the fate of the batch is unknown")
}

type Answer = oneshot::Sender<Result<Vec<v1::Outcome>>>;

#[derive(Debug)]
struct Job {
    instructions: Vec<v1::Instruction>,
    answer: Answer,
}

struct InFlight {
    envelope: v1::Envelope,
    count: usize,
    answer: Answer,
    give_up: Instant,
    numbers: Numbers,
    /// Whether every try so far was refused.
    is_refused: bool,
}

struct Driver {
    stub: Stub,
    options: Options,
    key: SecretKey,
    session: Arc<Session>,
    queue: mpsc::Receiver<Job>,
    /// Taken from the queue, waiting for room in the window.
    next: Option<Job>,
    /// Whether the user has handed over the last batch.
    ended: bool,
    /// Signed and not answered, by sequence number.
    unanswered: BTreeMap<u64, InFlight>,
    unanswered_bytes: usize,
    /// What of them is not sent on this connection.
    to_send: BTreeSet<u64>,
    backoff: Backoff,
}

struct Connection {
    outgoing: mpsc::Sender<v1::Envelope>,
    incoming: Streaming<SubmitReply>,
    progress: Progress,
}

/// How far one connection is.
struct Progress {
    /// What was sent and not answered; it is answered in this order.
    sent: VecDeque<u64>,
    /// Nothing is sent before this.
    pause_until: Instant,
    /// When the oldest that was sent should be answered.
    answer_by: Instant,
}

impl Driver {
    async fn run(mut self) {
        while self.has_work().await {
            let broken = match self.connect().await {
                Ok(mut connection) => self.converse(&mut connection).await,
                Err(error) => Err(error),
            };
            if let Err(error) = broken {
                self.lost(&error).await;
            }
        }
    }

    /// Waits for something to send; false when there never will be.
    async fn has_work(&mut self) -> bool {
        loop {
            self.sign_next();
            if !self.unanswered.is_empty() {
                return true;
            }
            debug_assert!(self.next.is_none(), "an empty window has room for any batch");
            match self.queue.recv().await {
                Some(job) => self.next = Some(job),
                None => return false,
            }
        }
    }

    /// Signs what waits for it, if there is room.
    fn sign_next(&mut self) {
        if self.unanswered_bytes >= IN_FLIGHT_BYTES_MAX {
            return;
        }
        let Some(job) = self.next.take() else { return };
        if self.session.has_gap() {
            let _ = job.answer.send(Err(Error::unavailable(
                "stream: it is unknown what came of an earlier batch; open another stream",
            )));
            return;
        }
        let count = job.instructions.len();
        let Some(numbers) = self.session.try_take(count) else {
            self.next = Some(job);
            return;
        };
        let sequence = numbers.sequence;
        let envelope = self.session.sign(&self.key, sequence, job.instructions);
        if let Err(error) = check_envelope(&envelope) {
            numbers.settle(Fate::Refused);
            let _ = job.answer.send(Err(error));
            return;
        }
        self.unanswered_bytes += envelope.encoded_len();
        self.to_send.insert(sequence);
        let give_up = Instant::now() + self.options.retry.total;
        let in_flight =
            InFlight { envelope, count, answer: job.answer, give_up, numbers, is_refused: true };
        self.unanswered.insert(sequence, in_flight);
    }

    /// Connects with the first envelopes on the way: a node may read before it answers.
    async fn connect(&mut self) -> Result<Connection> {
        let (outgoing, envelopes) = mpsc::channel(QUEUE);
        self.to_send = self.unanswered.keys().copied().collect();
        let mut sent = VecDeque::new();
        while let Ok(permit) = outgoing.try_reserve() {
            let Some((sequence, envelope)) = self.first_to_send() else { break };
            permit.send(envelope);
            sent.push_back(sequence);
        }
        let wait = self.options.answer_timeout;
        let call = self.stub.submit_stream(ReceiverStream::new(envelopes));
        let incoming = timeout(wait, call)
            .await
            .map_err(|_| no_answer(wait))?
            .map_err(|status| from_status(&status))?
            .into_inner();
        let now = Instant::now();
        let progress = Progress { sent, pause_until: now, answer_by: now + wait };
        Ok(Connection { outgoing, incoming, progress })
    }

    fn first_to_send(&mut self) -> Option<(u64, v1::Envelope)> {
        let sequence = self.to_send.pop_first()?;
        let in_flight = self.unanswered.get(&sequence)?;
        Some((sequence, in_flight.envelope.clone()))
    }

    /// Sends and receives until all is done, or the connection breaks.
    async fn converse(&mut self, connection: &mut Connection) -> Result<()> {
        let Connection { outgoing, incoming, progress } = connection;
        loop {
            self.sign_next();
            if self.ended && self.unanswered.is_empty() {
                return Ok(());
            }
            let paused = Instant::now() < progress.pause_until;
            let sends = !self.to_send.is_empty();
            tokio::select! {
                reply = incoming.message() => match reply {
                    Ok(Some(reply)) => self.answered(progress, reply)?,
                    Ok(None) => return Err(Error::unavailable("node: ended the stream")),
                    Err(status) => return Err(from_status(&status)),
                },
                permit = outgoing.reserve(), if sends && !paused => {
                    let permit = permit.map_err(|_| Error::unavailable("node: left the stream"))?;
                    if let Some((sequence, envelope)) = self.first_to_send() {
                        permit.send(envelope);
                        if progress.sent.is_empty() {
                            progress.answer_by = Instant::now() + self.options.answer_timeout;
                        }
                        progress.sent.push_back(sequence);
                    }
                }
                job = self.queue.recv(), if self.next.is_none() && !self.ended => {
                    self.ended = job.is_none();
                    self.next = job;
                }
                () = sleep_until(progress.pause_until), if sends && paused => {}
                () = sleep_until(progress.answer_by), if !progress.sent.is_empty() => {
                    return Err(no_answer(self.options.answer_timeout));
                }
            }
        }
    }

    /// Takes the answer to what was sent first. What is refused for the moment is sent again.
    fn answered(&mut self, progress: &mut Progress, reply: SubmitReply) -> Result<()> {
        let answered = progress.sent.pop_front();
        let names = (reply.session, reply.sequence);
        let unread = reply.failure.is_some() && names == (0, 0);
        let Some(sequence) =
            answered.filter(|sequence| unread || names == (self.session.number, *sequence))
        else {
            return Err(Error::internal(format!(
                "node: answered session {} sequence {}, which was not next",
                reply.session, reply.sequence
            )));
        };
        let now = Instant::now();
        progress.answer_by = now + self.options.answer_timeout;
        let answer = match &reply.failure {
            Some(failure) => Err(Error::from(failure)),
            None => Ok(reply.outcomes),
        };
        self.tried(sequence, answer.as_ref().err());
        match answer {
            Err(error) if is_passing(&error) && now < self.give_up(sequence) => {
                self.to_send.insert(sequence);
                // Many that are refused together cost one wait.
                if now >= progress.pause_until {
                    progress.pause_until = now + self.backoff.next(&error);
                }
            }
            answer => {
                if answer.is_ok() {
                    self.backoff.reset();
                }
                self.settle(sequence, answer);
            }
        }
        Ok(())
    }

    /// Waits before the next connection. What waited long enough, or what no other connection
    /// would help, gets `error` as its answer.
    async fn lost(&mut self, error: &Error) {
        let sent: Vec<u64> = self
            .unanswered
            .keys()
            .filter(|sequence| !self.to_send.contains(sequence))
            .copied()
            .collect();
        for sequence in sent {
            self.tried(sequence, None);
        }
        let now = Instant::now();
        let hopeless: Vec<u64> = self
            .unanswered
            .iter()
            .filter(|(_, in_flight)| !is_passing(error) || in_flight.give_up <= now)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in hopeless {
            self.settle(sequence, Err(error.clone()));
        }
        if !self.unanswered.is_empty() {
            tokio::time::sleep(self.backoff.next(error)).await;
        }
    }

    /// Notes what a try says about the fate of a batch: only an error that refuses it leaves it
    /// undone for sure.
    fn tried(&mut self, sequence: u64, error: Option<&Error>) {
        if let Some(in_flight) = self.unanswered.get_mut(&sequence) {
            in_flight.is_refused &= error.is_some_and(is_refusal);
        }
    }

    fn give_up(&self, sequence: u64) -> Instant {
        self.unanswered.get(&sequence).map_or_else(Instant::now, |in_flight| in_flight.give_up)
    }

    /// Answers a batch; its numbers are free then.
    fn settle(&mut self, sequence: u64, answer: Result<Vec<v1::Outcome>>) {
        let Some(in_flight) = self.unanswered.remove(&sequence) else { return };
        self.unanswered_bytes -= in_flight.envelope.encoded_len();
        self.to_send.remove(&sequence);
        let InFlight { count, answer: to, numbers, is_refused, .. } = in_flight;
        let answer = answer.and_then(|outcomes| counted(outcomes, count));
        numbers.settle(match &answer {
            Ok(_) => Fate::Decided,
            Err(_) if is_refused => Fate::Refused,
            Err(_) => Fate::Unknown,
        });
        // Nobody may be interested any more.
        let _ = to.send(answer);
    }
}
