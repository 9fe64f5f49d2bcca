use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// OBS gives a POST or DELETE this long.
const TIMEOUT: Duration = Duration::from_secs(8);
const USER_AGENT: &str = "Mozilla/5.0 (OBS-Studio/32.2.2; Linux x86_64; en-US)";

pub struct Session {
    authority: String,
    path: String,
    pub answer: String,
}

/// Like OBS: anything but `201` with a `Location` is an error.
pub fn post(url: &str, bearer: Option<&str>, offer: &str) -> io::Result<Session> {
    let (authority, path) = split(url)?;
    let (head, answer) = exchange("POST", &authority, &path, bearer, Some(offer))?;
    if !head.starts_with("HTTP/1.1 201") {
        return Err(io::Error::other(format!("{head}\n{answer}")));
    }
    let location = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("location"))
        .map(|(_, value)| value.trim().to_owned())
        .ok_or_else(|| io::Error::other("201 without a Location"))?;
    let (authority, path) = if location.starts_with('/') {
        (authority, location)
    } else {
        split(&location)?
    };
    Ok(Session {
        authority,
        path,
        answer,
    })
}

pub fn delete(session: &Session, bearer: Option<&str>) -> io::Result<()> {
    let (head, body) = exchange("DELETE", &session.authority, &session.path, bearer, None)?;
    if head.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::Error::other(format!("{head}\n{body}")))
    }
}

fn split(url: &str) -> io::Result<(String, String)> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| io::Error::other(format!("not http: {url}")))?;
    let slash = rest.find('/').unwrap_or(rest.len());
    Ok((rest[..slash].to_owned(), rest[slash..].to_owned()))
}

/// One request on a connection of its own. Gives the head and the body.
fn exchange(
    method: &str,
    authority: &str,
    path: &str,
    bearer: Option<&str>,
    offer: Option<&str>,
) -> io::Result<(String, String)> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: */*\r\n");
    if offer.is_some() {
        request += "Content-Type: application/sdp\r\n";
    }
    if let Some(token) = bearer {
        request += &format!("Authorization: Bearer {token}\r\n");
    }
    request += &format!("User-Agent: {USER_AGENT}\r\nConnection: close\r\n");
    let body = offer.unwrap_or_default();
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());

    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("no HTTP answer"))?;
    Ok((head.to_owned(), body.to_owned()))
}
