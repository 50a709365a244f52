//! A name server that says what a test wants.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<Record>>,
    failing: bool,
    /// Questions by name and kind.
    asked: HashMap<(String, RecordType), usize>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let own = Arc::clone(&zone);
        std::thread::spawn(move || {
            let mut packet = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut packet) {
                let query = Message::from_vec(&packet[..length]).unwrap();
                let answer = own.lock().unwrap().answer(&query);
                socket.send_to(&answer.to_vec().unwrap(), peer).unwrap();
            }
        });
        Self { address, zone }
    }

    /// From now on `name` has these addresses, for `ttl` seconds.
    pub(crate) fn set(&self, name: &str, ttl: u32, addresses: &[Ipv4Addr]) {
        let owner = Name::from_str(name).unwrap();
        let records = addresses
            .iter()
            .map(|address| Record::from_rdata(owner.clone(), ttl, RData::A(A(*address))));
        self.put(name, records.collect());
    }

    /// From now on `name` has these servers: priority, weight, port, name.
    pub(crate) fn set_servers(&self, name: &str, ttl: u32, servers: &[(u16, u16, u16, &str)]) {
        let owner = Name::from_str(name).unwrap();
        let records = servers.iter().map(|(priority, weight, port, target)| {
            let target = Name::from_str(target).unwrap();
            let record = SRV::new(*priority, *weight, *port, target);
            Record::from_rdata(owner.clone(), ttl, RData::SRV(record))
        });
        self.put(name, records.collect());
    }

    fn put(&self, name: &str, records: Vec<Record>) {
        let mut zone = self.zone.lock().unwrap();
        zone.records.insert(name.to_owned(), records);
    }

    /// Whether every question is answered with a failure.
    pub(crate) fn fail(&self, failing: bool) {
        self.zone.lock().unwrap().failing = failing;
    }

    /// How many times was asked for a name.
    pub(crate) fn asked(&self, name: &str, kind: RecordType) -> usize {
        let zone = self.zone.lock().unwrap();
        let key = (name.to_owned(), kind);
        zone.asked.get(&key).copied().unwrap_or(0)
    }
}

impl Zone {
    fn answer(&mut self, query: &Message) -> Message {
        let question = query.queries[0].clone();
        let name = question.name().to_ascii().to_ascii_lowercase();
        let kind = question.query_type();
        *self.asked.entry((name.clone(), kind)).or_default() += 1;
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_query(question);
        if self.failing {
            answer.metadata.response_code = ResponseCode::ServFail;
            return answer;
        }
        match self.records.get(&name) {
            Some(records) => {
                let records = records.iter();
                let records = records.filter(|record| record.data.record_type() == kind);
                answer.add_answers(records.cloned());
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer
    }
}
