//! Uploads by the XML interface of Google Cloud Storage, which fake-gcs-server does not have,
//! handed on as uploads by the JSON interface, which it has. Everything else is handed on as it is;
//! where that fails, a missing bucket is told in the words of the XML interface.
//!
//! Nothing is decided here: whether a generation matches is fake-gcs-server's answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, bail};

/// Listens on a free port, until the process ends, for what is meant for `server`.
pub(super) fn listen(server: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks is the client's to notice.
            std::thread::spawn(move || serve(&stream, server));
        }
    });
    Ok(address)
}

/// Names in small letters.
type Headers = Vec<(String, String)>;

struct Request {
    method: String,
    target: String,
    headers: Headers,
    body: Vec<u8>,
}

struct Response {
    status: u16,
    headers: Headers,
    body: Vec<u8>,
}

fn serve(stream: &TcpStream, server: SocketAddr) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let response = match request.method.as_str() {
            "PUT" => upload(request, server)?,
            _ => other(&request, server)?,
        };
        response.write(stream)?;
    }
    Ok(())
}

/// Hands on `PUT /BUCKET/KEY` with `x-goog-if-generation-match`.
fn upload(mut request: Request, server: SocketAddr) -> Result<Response> {
    let path = request.target.trim_start_matches('/');
    let (bucket, key) = path.split_once('/').context("an upload without a key")?;
    let mut target = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name={key}");
    if let Some(generation) = value(&request.headers, "x-goog-if-generation-match") {
        target = format!("{target}&ifGenerationMatch={generation}");
    }
    request.method = "POST".to_owned();
    request.target = target;
    let answer = request.send(server)?;
    let text = String::from_utf8_lossy(&answer.body);
    Ok(match answer.status {
        200 => Response {
            status: 200,
            headers: vec![
                ("etag".into(), format!("\"{}\"", member(&text, "etag")?)),
                (
                    "x-goog-generation".into(),
                    member(&text, "generation")?.to_owned(),
                ),
            ],
            body: Vec::new(),
        },
        404 => Response::error(404, "NoSuchBucket"),
        412 => Response::error(412, "PreconditionFailed"),
        status => Response::error(status, "InternalError"),
    })
}

/// Hands on a request that is no upload.
fn other(request: &Request, server: SocketAddr) -> Result<Response> {
    let answer = request.send(server)?;
    if answer.status < 400 {
        return Ok(answer);
    }
    let path = request.target.trim_start_matches('/');
    let bucket = path.split(['/', '?']).next().unwrap_or_default();
    let look = Request {
        method: "GET".to_owned(),
        target: format!("/storage/v1/b/{bucket}"),
        headers: Headers::new(),
        body: Vec::new(),
    };
    Ok(match look.send(server)?.status {
        404 => Response::error(404, "NoSuchBucket"),
        _ => answer,
    })
}

impl Request {
    /// The next request of a connection; nothing at its end.
    fn read(reader: &mut BufReader<&TcpStream>) -> Result<Option<Self>> {
        let Some((first, headers)) = head(reader)? else {
            return Ok(None);
        };
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            bail!("no request line: {first}");
        };
        let length = value(&headers, "content-length").unwrap_or("0").parse()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Some(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body,
        }))
    }

    /// Sends it on a connection of its own. In HTTP/1.0 the answer has no chunks.
    fn send(&self, server: SocketAddr) -> Result<Response> {
        let stream = TcpStream::connect(server)?;
        let mut head = format!(
            "{} {} HTTP/1.0\r\nhost: {server}\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            if !matches!(name.as_str(), "host" | "connection") {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        (&stream).write_all(format!("{head}\r\n").as_bytes())?;
        (&stream).write_all(&self.body)?;
        let mut reader = BufReader::new(&stream);
        let (first, headers) = self::head(&mut reader)?.context("no answer")?;
        let status = first.split(' ').nth(1).context("no status")?.parse()?;
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        Ok(Response {
            status,
            headers,
            body,
        })
    }
}

impl Response {
    fn error(status: u16, code: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/xml".into())],
            body: format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>").into(),
        }
    }

    fn write(&self, mut stream: &TcpStream) -> Result<()> {
        let mut head = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.headers {
            if !matches!(name.as_str(), "content-length" | "connection") {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes())?;
        Ok(stream.write_all(&self.body)?)
    }
}

/// The first line and the headers.
fn head(reader: &mut BufReader<&TcpStream>) -> Result<Option<(String, Headers)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some((first.trim_end().to_owned(), headers)));
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn value<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

/// A member of a JSON object whose value is text without escapes.
fn member<'a>(json: &'a str, name: &str) -> Result<&'a str> {
    // The object's own members come after those of its access list.
    json.rsplit_once(&format!("\"{name}\":\""))
        .and_then(|(_, rest)| rest.split('"').next())
        .with_context(|| format!("fake-gcs-server answered without {name}"))
}
