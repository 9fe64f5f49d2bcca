//! The HTTP half of WHIP and WHEP on a thread of its own: POST an offer, DELETE a session.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::mpsc as queue;

/// A server that has not answered an offer by then is counted as failed.
const POST_TIMEOUT: Duration = Duration::from_secs(15);
const DELETE_TIMEOUT: Duration = Duration::from_secs(3);
/// An answer is a few KB; what is longer is not one.
const MAX_ANSWER: usize = 256 * 1024;

pub enum Request {
    Post {
        session: usize,
        url: String,
        token: Option<String>,
        offer: String,
    },
    Delete {
        url: String,
        token: Option<String>,
    },
}

/// The outcome of a POST: the answer and the session's URL, or a plain reason.
pub struct Posted {
    pub session: usize,
    pub result: Result<Accepted, String>,
}

pub struct Accepted {
    pub answer: String,
    pub session_url: Option<String>,
}

pub struct Http {
    requests: Option<queue::UnboundedSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    /// Results go into `results`, and `wake` is called after each.
    pub fn start(results: mpsc::Sender<Posted>, wake: Arc<mio::Waker>) -> std::io::Result<Self> {
        let (requests, mut inbox) = queue::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // Media does not pass a proxy either.
        let client = Client::builder()
            .no_proxy()
            .build()
            .map_err(std::io::Error::other)?;
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let mut running = tokio::task::JoinSet::new();
                    while let Some(request) = inbox.recv().await {
                        let (client, results, wake) = (client.clone(), results.clone(), wake.clone());
                        running.spawn(async move {
                            if let Some(posted) = perform(&client, request).await {
                                let _ = results.send(posted);
                                let _ = wake.wake();
                            }
                        });
                        while running.try_join_next().is_some() {}
                    }
                    while running.join_next().await.is_some() {}
                });
            })?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
        })
    }

    pub fn send(&self, request: Request) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(request);
        }
    }

    /// Ends a session, if the server named one.
    pub fn delete(&self, url: Option<String>, token: Option<String>) {
        if let Some(url) = url {
            self.send(Request::Delete { url, token });
        }
    }
}

impl Drop for Http {
    /// Waits until everything asked for is done or timed out, so that no session is left behind on the server.
    fn drop(&mut self) {
        self.requests.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn perform(client: &Client, request: Request) -> Option<Posted> {
    match request {
        Request::Post {
            session,
            url,
            token,
            offer,
        } => {
            let result = post(client, &url, token.as_deref(), offer).await;
            Some(Posted { session, result })
        }
        Request::Delete { url, token } => {
            delete(client, &url, token.as_deref()).await;
            None
        }
    }
}

/// The answer to an offer, or a plain reason.
pub async fn post(
    client: &Client,
    url: &str,
    token: Option<&str>,
    offer: String,
) -> Result<Accepted, String> {
    let mut request = client
        .post(url)
        .timeout(POST_TIMEOUT)
        .header(CONTENT_TYPE, "application/sdp")
        .body(offer);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = request.send().await.map_err(|error| unreachable(url, &error))?;
    let status = response.status();
    let session_url = location(&response);
    let answer = body(response).await?;
    // 200 is not what the standard says, but some servers do.
    if status == StatusCode::CREATED || status == StatusCode::OK {
        return Ok(Accepted { answer, session_url });
    }
    // A page for people says nothing that the status does not.
    let plain = !answer.trim_start().starts_with('<');
    let line = answer
        .lines()
        .map(str::trim)
        .find(|line| plain && !line.is_empty());
    let said: String = line.unwrap_or_default().chars().take(200).collect();
    Err(match said.as_str() {
        "" => format!("the server answered {status}"),
        said => format!("the server answered {status}: {said}"),
    })
}

/// Ends a session; one that is gone already is as good.
pub async fn delete(client: &Client, url: &str, token: Option<&str>) {
    let mut request = client.delete(url).timeout(DELETE_TIMEOUT);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let _ = request.send().await;
}

fn location(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let absolute: Url = response.url().join(location).ok()?;
    Some(absolute.to_string())
}

async fn body(mut response: Response) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| format!("the answer broke off: {error}"))?
    {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err("the answer is too long to be one".to_owned());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The innermost reason of a failed request, which is the one a person can act on.
fn unreachable(url: &str, error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer from {url} within {} s", POST_TIMEOUT.as_secs());
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    format!("cannot reach {url}: {reason}")
}
