//! An HTTP/1.1 client that costs little, so that one thread of it can keep a server busy.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub type Result<T> = std::result::Result<T, Error>;

/// Bytes read at once.
const BUFFER: usize = 512 << 10;

/// A connection that is kept open.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
    filled: usize,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub length: u64,
    pub location: String,
    pub digest: String,
    pub link: String,
}

pub fn failed(message: impl Into<String>) -> Error {
    Error::other(message.into())
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address,
            buffer: vec![0; 16 << 10],
            filled: 0,
        })
    }

    /// The head of a request with a body of `length` bytes.
    pub fn head(&self, method: &str, path: &str, headers: &str, length: u64) -> Vec<u8> {
        let path = path
            .strip_prefix("http://")
            .and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..)))
            .unwrap_or(path);
        let host = self.address;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}");
        if length > 0 || !matches!(method, "GET" | "HEAD") {
            head = format!("{head}content-length: {length}\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads an answer; its body goes to `sink` piece by piece.
    pub async fn read(&mut self, is_head: bool, mut sink: impl FnMut(&[u8])) -> Result<Head> {
        let (head, mut position) = loop {
            if let Some(found) = parse(self.buffer.get(..self.filled).unwrap_or_default())? {
                break found;
            }
            if self.filled == self.buffer.len() {
                return Err(failed("an answer's head is too long"));
            }
            self.fill().await?;
        };
        let mut left = if is_head || matches!(head.status, 204 | 304) {
            0
        } else {
            head.length
        };
        if left > self.buffer.len() as u64 {
            self.buffer.resize(BUFFER, 0);
        }
        loop {
            let present = self.buffer.get(position..self.filled).unwrap_or_default();
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(present.len());
            sink(present.get(..take).unwrap_or_default());
            left -= take as u64;
            if left == 0 {
                // Nothing is pipelined, so nothing follows.
                self.filled = 0;
                return Ok(head);
            }
            self.filled = 0;
            position = 0;
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(free).await? {
            0 => Err(Error::from(ErrorKind::UnexpectedEof)),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }

    /// One request with its answer, which must have one of these statuses.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
        expected: &[u16],
    ) -> Result<(Head, Vec<u8>)> {
        let mut request = self.head(method, path, headers, body.len() as u64);
        request.extend_from_slice(body);
        self.write(&request).await?;
        let mut answer = Vec::new();
        let head = self
            .read(method == "HEAD", |piece| answer.extend_from_slice(piece))
            .await?;
        if expected.contains(&head.status) {
            return Ok((head, answer));
        }
        Err(failed(format!(
            "{method} {path}: {} instead of {expected:?}: {}",
            head.status,
            String::from_utf8_lossy(&answer)
        )))
    }
}

/// The head at the beginning of `bytes`, and where the body begins.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes).map_err(Error::other)? {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial => return Ok(None),
    };
    let mut head = Head {
        status: response.code.unwrap_or_default(),
        length: 0,
        location: String::new(),
        digest: String::new(),
        link: String::new(),
    };
    for header in &*response.headers {
        let value = || String::from_utf8_lossy(header.value).into_owned();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.length = value().parse().map_err(Error::other)?;
        } else if header.name.eq_ignore_ascii_case("location") {
            head.location = value();
        } else if header.name.eq_ignore_ascii_case("docker-content-digest") {
            head.digest = value();
        } else if header.name.eq_ignore_ascii_case("link") {
            head.link = value();
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(failed("this client reads bodies of a known length only"));
        }
    }
    Ok(Some((head, end)))
}
