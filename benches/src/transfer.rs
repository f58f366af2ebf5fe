//! Large blobs on their way in and out.

use std::net::SocketAddr;

use crate::content::Large;
use crate::wire::{Connection, Result, failed};

/// Sends `content` from one offset to another.
async fn send(connection: &mut Connection, content: &mut Large, from: u64, to: u64) -> Result<()> {
    let mut offset = from;
    while offset < to {
        let piece = content.piece(offset);
        let length = piece.len() as u64;
        connection.write(piece).await?;
        offset += length;
    }
    Ok(())
}

/// Pushes large content in one PUT, or in chunks of `chunk` bytes.
pub async fn push(address: SocketAddr, name: &str, content: &mut Large, chunk: Option<u64>) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let path = format!("/v2/{name}/blobs/uploads/");
    let (begun, _) = connection.ask("POST", &path, "", b"", &[202]).await?;
    let mut location = begun.location;
    let mut sent = 0;
    if let Some(chunk) = chunk {
        while sent < content.length {
            let end = content.length.min(sent + chunk);
            let headers = format!(
                "content-type: application/octet-stream\r\ncontent-range: {sent}-{}\r\n",
                end - 1
            );
            let head = connection.head("PATCH", &location, &headers, end - sent);
            connection.write(&head).await?;
            send(&mut connection, content, sent, end).await?;
            let answer = connection.read(false, |_| {}).await?;
            if answer.status != 202 {
                return Err(failed(format!("a chunk was answered with {}", answer.status)));
            }
            location = answer.location;
            sent = end;
        }
    }
    let separator = if location.contains('?') { '&' } else { '?' };
    let path = format!("{location}{separator}digest={}", content.digest);
    let headers = "content-type: application/octet-stream\r\n";
    let head = connection.head("PUT", &path, headers, content.length - sent);
    connection.write(&head).await?;
    let length = content.length;
    send(&mut connection, content, sent, length).await?;
    let answer = connection.read(false, |_| {}).await?;
    if answer.status == 201 && answer.digest == content.digest {
        Ok(())
    } else {
        Err(failed(format!("a push was answered with {answer:?}")))
    }
}

/// Pulls large content and compares every byte with what was pushed under its digest.
pub async fn pull(address: SocketAddr, name: &str, content: &mut Large) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let path = format!("/v2/{name}/blobs/{}", content.digest);
    let head = connection.head("GET", &path, "", 0);
    connection.write(&head).await?;
    let mut offset = 0;
    let mut same = true;
    let answer = connection
        .read(false, |piece| {
            same = same && content.matches(offset, piece);
            offset += piece.len() as u64;
        })
        .await?;
    if answer.status == 200 && same && offset == content.length {
        Ok(())
    } else {
        Err(failed(format!("{path}: {answer:?}, {offset} bytes, same {same}")))
    }
}
