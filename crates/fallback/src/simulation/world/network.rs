//! Requests on their way, and what happens to them.

use super::storage::{Key, Reply, Request};
use super::{Answered, Event, Millis, Part, World};

/// What fails is answered so fast, or after so long.
const SLOW: Millis = 60_000;

impl World {
    /// Sends a request; the answer, or the end of patience, comes as an event with the ticket.
    pub(super) fn send(
        &mut self,
        part: Part,
        storage: usize,
        request: Request,
        patience: Millis,
    ) -> u64 {
        self.sequence += 1;
        let ticket = self.sequence;
        self.sent(part, storage, &request);
        let near = match part {
            Part::Writer(node, _) | Part::Candidate(node, _) => {
                self.plan.nodes[node].region == storage
            }
            Part::Reader(reader) => reader % 2 == storage,
        };
        let plan = &self.plan.storages[storage];
        let (bound, faults) = (plan.latency[usize::from(!near)], plan.faults);
        let there = self.random.u64(1..=bound);
        let truly = Answered::Truly;
        let to = Some((part, ticket));
        self.after(patience, Event::Answer(part, ticket, Reply::Failed(0)));
        let is_cut = match part {
            Part::Writer(node, _) | Part::Candidate(node, _) => {
                self.cut_until[node][storage] > self.now
            }
            Part::Reader(_) => false,
        };
        if is_cut {
            return ticket;
        }
        let fault = match self.storming && self.random.u32(0..1000) < faults {
            true => self.random.u32(0..8),
            false => u32::MAX,
        };
        match fault {
            // Lost on the way.
            0 => {}
            // 409, 429, 503: not executed, the last two with a word on when to come back.
            1 | 2 => {
                let pause = [0, 0, 1000, 4000][self.random.usize(0..4)];
                self.after(there, Event::Answer(part, ticket, Reply::Failed(pause)));
            }
            // The answer is lost.
            3 => self.after(there, Event::Execute(storage, request, to, Answered::Never)),
            // Executed, and answered with 500.
            4 => self.after(
                there,
                Event::Execute(storage, request, to, Answered::WithError),
            ),
            // Sent twice; the second, which may be very late, is for nobody.
            5 => {
                let late = there + self.random.u64(0..SLOW);
                self.after(there, Event::Execute(storage, request.clone(), to, truly));
                self.after(
                    late,
                    Event::Execute(storage, request, None, Answered::Never),
                );
            }
            // Sent twice; the answer to the second is the one that arrives.
            6 => {
                let second = there + self.random.u64(0..bound);
                self.after(
                    there,
                    Event::Execute(storage, request.clone(), None, Answered::Never),
                );
                self.after(second, Event::Execute(storage, request, to, truly));
            }
            // Held up, longer perhaps than anybody waits.
            7 => {
                let late = there + self.random.u64(0..SLOW);
                self.after(late, Event::Execute(storage, request, to, truly));
            }
            _ => self.after(there, Event::Execute(storage, request, to, truly)),
        }
        ticket
    }

    pub(super) fn execute(
        &mut self,
        storage: usize,
        request: &Request,
        ticket: Option<(Part, u64)>,
        answered: Answered,
    ) {
        let compares = !self.plan.breaks(super::Mutation::WritesWithoutComparing)
            || !matches!(request, Request::Replace(Key::Config(_), ..));
        let reply = self.storages[storage].execute(self.now, request, compares);
        let written = match request {
            Request::Create(key, _) | Request::Replace(key, ..) | Request::Put(key, _) => {
                matches!(reply, Reply::Written(_)).then_some(*key)
            }
            Request::Delete(key) => Some(*key),
            Request::Get(..) | Request::List(_) => None,
        };
        match written {
            Some(Key::Config(software)) => {
                self.totals.published += 1;
                self.look(storage, software, false);
            }
            Some(Key::History(software, _)) => self.look(storage, software, false),
            _ => {}
        }
        if let Some((part, ticket)) = ticket
            && answered != Answered::Never
        {
            let bound = self.plan.storages[storage].latency[0];
            let back = self.random.u64(1..=bound);
            let reply = match answered {
                Answered::Truly => reply,
                _ => Reply::Failed(0),
            };
            self.after(back, Event::Answer(part, ticket, reply));
        }
    }

    /// Hands an answer to who still waits for it.
    pub(super) fn answer(&mut self, part: Part, ticket: u64, reply: Reply) {
        match part {
            Part::Writer(node, storage) => self.writer_answered(node, storage, ticket, reply),
            Part::Candidate(node, storage) => self.candidate_answered(node, storage, ticket, reply),
            Part::Reader(reader) => self.reader_answered(reader, ticket, reply),
        }
    }

    /// Has a part woken after a while, and not at what it was told before.
    pub(super) fn wake(&mut self, part: Part, wait: Millis) {
        self.sequence += 1;
        let token = self.sequence;
        match part {
            Part::Writer(node, storage) => self.nodes[node].lanes[storage].writer_wake = token,
            Part::Candidate(node, storage) => {
                self.nodes[node].lanes[storage].candidate_wake = token;
            }
            Part::Reader(reader) => self.readers[reader].wake = token,
        }
        self.after(wait, Event::Wake(part, token));
    }

    pub(super) fn woken(&mut self, part: Part, token: u64) {
        match part {
            Part::Writer(node, storage) => {
                if self.nodes[node].lanes[storage].writer_wake == token {
                    self.drive_writer(node, storage);
                }
            }
            Part::Candidate(node, storage) => {
                if self.nodes[node].lanes[storage].candidate_wake == token {
                    self.drive_candidate(node, storage);
                }
            }
            Part::Reader(reader) => {
                if self.readers[reader].wake == token {
                    self.begin_pass(reader);
                }
            }
        }
    }
}
