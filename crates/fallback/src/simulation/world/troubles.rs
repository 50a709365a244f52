//! What goes wrong during the storm, other than in answers.

use super::reader::Reader;
use super::storage::{Body, Key};
use super::{Event, Part, World};

impl World {
    /// A process is stopped and goes on later.
    pub(super) fn stop(&mut self) {
        self.sometimes(self.plan.pauses, Event::Stop);
        let node = self.random.usize(0..self.nodes.len());
        let pause = self.random.u64(100..30_000);
        if self.storming {
            let until = &mut self.nodes[node].stopped_until;
            *until = (*until).max(self.now + pause);
            self.show(format_args!("node {node} is stopped for {pause} ms"));
        }
    }

    pub(super) fn die_and_revive(&mut self) {
        self.sometimes(self.plan.deaths, Event::Die);
        let node = self.random.usize(0..self.nodes.len());
        if !self.storming || !self.nodes[node].alive {
            return;
        }
        self.nodes[node].alive = false;
        let wait = self.random.u64(100..20_000);
        self.show(format_args!("node {node} dies"));
        self.after(wait, Event::Revive(node));
    }

    /// A process starts with what its disk holds.
    pub(super) fn revive(&mut self, node: usize) {
        let lost = node == 0 && self.plan.control_plane_lost && !self.storming;
        if self.nodes[node].alive || lost {
            return;
        }
        let seed = self.random.u64(..);
        let behind = if node == 0 { 0 } else { self.random.u64(0..3) };
        let cached = self.nodes[node].reborn(&self.plan, node, seed, behind);
        self.watch.reborn(node);
        let life = self.nodes[node].life;
        self.show(format_args!("node {node} comes back with {cached}"));
        if cached > 0 {
            self.after(0, Event::Heard(node, life, cached));
        }
        if self.nodes[0].alive {
            // It finds the control plane again.
            let wait = self.random.u64(50..5000);
            self.after(wait, Event::Heard(node, life, self.made));
        }
        for storage in 0..self.storages.len() {
            let wait = self.random.u64(0..1000);
            self.wake(Part::Candidate(node, storage), wait);
        }
    }

    /// Somebody or a lifecycle rule deletes or damages objects.
    pub(super) fn damage(&mut self) {
        self.sometimes(self.plan.damage, Event::Damage);
        if !self.storming {
            return;
        }
        let index = self.random.usize(0..self.storages.len());
        let software = self.plan.nodes[self.random.usize(0..self.nodes.len())].software;
        let (now, kind) = (self.now, self.random.u32(0..7));
        let storage = &mut self.storages[index];
        let history: Vec<_> = storage
            .objects
            .keys()
            .filter(|key| matches!(key, Key::History(of, _) if *of == software))
            .copied()
            .collect();
        match kind {
            0 | 1 => {
                storage.remove(now, Key::Lease(software));
                let nodes = (0..8).map(|node| Key::Registration(software, node));
                nodes.for_each(|key| storage.remove(now, key));
                storage.lease_lost_at[software] = now + 1;
            }
            2 => {
                storage.place(now, Key::Lease(software), Body::Damaged);
                storage.lease_lost_at[software] = now + 1;
            }
            3 => storage.remove(now, Key::Config(software)),
            4 => {
                storage.place(now, Key::Config(software), Body::Damaged);
            }
            5 => {
                for key in history {
                    storage.place(now, key, Body::Damaged);
                }
            }
            _ => {
                history.iter().for_each(|key| storage.remove(now, *key));
                storage.remove(now, Key::Config(software));
                storage.remove(now, Key::Index);
            }
        }
        storage.tampered |= kind > 2;
        self.show(format_args!(
            "damage {kind} to storage {index}, version {software}"
        ));
        self.look(index, software, true);
    }

    /// A line is cut for a while.
    pub(super) fn cut(&mut self) {
        self.sometimes(self.plan.cuts, Event::Cut);
        let node = self.random.usize(0..self.nodes.len());
        let storage = self.random.usize(0..self.storages.len());
        let cut = self.random.u64(500..25_000);
        if self.storming {
            self.cut_until[node][storage] = self.now + cut;
            self.show(format_args!(
                "node {node} cannot reach storage {storage} for {cut} ms"
            ));
        }
    }

    /// A data plane is replaced by a newborn one.
    pub(super) fn reborn(&mut self) {
        self.sometimes(15_000, Event::Reborn);
        let index = self.random.usize(0..self.readers.len());
        if self.storming {
            let reader = &mut self.readers[index];
            *reader = Reader::born(reader.software, self.storages.len());
            self.wake(Part::Reader(index), 0);
        }
    }
}
