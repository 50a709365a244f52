//! An upstream that takes only what every server reads in the same way, and tells what it saw.

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use crate::support::{Client, upstream};

/// A request as it reached the upstream.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The values of a header.
    pub(crate) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.fields
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What arrives at `address`: requests, or why something is none.
pub(crate) fn start() -> (SocketAddr, Receiver<Result<Seen, String>>) {
    let (tell, seen) = channel();
    let tell = Mutex::new(tell);
    let (address, _) = upstream(move |mut client, _| {
        let tell = tell.lock().unwrap().clone();
        while let Some(request) = request(&mut client).transpose() {
            let is_bad = request.is_err();
            tell.send(request).unwrap();
            if is_bad {
                return;
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (address, seen)
}

/// The next request; none when the connection ended before one began.
fn request(client: &mut Client<TcpStream>) -> Result<Option<Seen>, String> {
    let Some(head) = client.until("\r\n\r\n") else {
        return Ok(None);
    };
    let unfit = |what: &str| Err(format!("{what} in {head:?}"));
    if head.replace("\r\n", "").contains(|c: char| c.is_control()) {
        return unfit("a control character");
    }
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or("").split(' ').collect();
    let [method, target, "HTTP/1.1"] = first[..] else {
        return unfit("another first line");
    };
    let mut fields = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else {
            return unfit("a line without a value");
        };
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) || value.trim() != value {
            return unfit("an odd line");
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    let mut seen = Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        fields,
        body: Vec::new(),
    };
    let framing: Vec<String> = ["content-length", "transfer-encoding"]
        .iter()
        .flat_map(|name| {
            seen.values(name)
                .map(move |value| format!("{name} {value}"))
        })
        .collect();
    seen.body = match &framing[..] {
        [] => Vec::new(),
        [one] if one == "transfer-encoding chunked" => chunks(client)?,
        [one] => {
            let length = one.strip_prefix("content-length ").unwrap_or("");
            if !length.bytes().all(|b| b.is_ascii_digit()) {
                return unfit("an odd length");
            }
            let length = length.parse().map_err(|_| "no length".to_owned())?;
            client.exactly(length).ok_or("the body was cut short")?
        }
        _ => return unfit("more than one length"),
    };
    Ok(Some(seen))
}

fn chunks(client: &mut Client<TcpStream>) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let size = client.until("\r\n").ok_or("no size")?;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("an odd size {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|_| "no size".to_owned())?;
        if size == 0 {
            while !client.until("\r\n").ok_or("no end")?.is_empty() {}
            return Ok(body);
        }
        body.extend(client.exactly(size).ok_or("the chunk was cut short")?);
        if client.exactly(2).as_deref() != Some(b"\r\n") {
            return Err("no line break after a chunk".to_owned());
        }
    }
}
