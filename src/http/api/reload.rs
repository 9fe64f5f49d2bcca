//! Read the configuration again: as SIGHUP does, with an answer.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::contract::ProblemJson;
use super::fresh;
use super::operator::Operator;
use crate::http::problem::Problem;
use crate::http::router::App;

/// Reading a file takes no time; whoever does it may be busy stopping.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was read, by the names of the configuration's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// In force from now on.
    #[schema(example = json!(["keys.publish"]))]
    pub changed: Vec<&'static str>,
    /// These count only after a restart.
    #[schema(example = json!(["workers"]))]
    pub needs_restart: Vec<&'static str>,
}

/// Somebody wants the configuration read again; an error is for people, and nothing has changed then.
pub type Wish = oneshot::Sender<Result<Reloaded, String>>;

/// Where such wishes go.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<Wish>);

/// One end for the API, the other for whoever reads the configuration.
pub fn reloads() -> (Reloader, mpsc::Receiver<Wish>) {
    let (sender, receiver) = mpsc::channel(1);
    (Reloader(sender), receiver)
}

/// Read the configuration again, as SIGHUP does: file, environment, and flags of the start. For operators.
///
/// Sessions that run go on, also those whose key is gone.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "server", security((), ("key" = [])),
    responses(
        (status = 200, body = Reloaded),
        (status = 401, body = ProblemJson, content_type = "application/problem+json"),
        (status = 403, body = ProblemJson, content_type = "application/problem+json"),
        (status = 404, description = "This server was not started with a configuration", body = ProblemJson, content_type = "application/problem+json"),
        (status = 422, description = "The configuration is wrong: `detail` says how, and nothing has changed", body = ProblemJson, content_type = "application/problem+json"),
        (status = 503, description = "The server is going down", body = ProblemJson, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reload(State(app): State<App>, _: Operator) -> Result<Response, Problem> {
    let Some(Reloader(wishes)) = &app.config.reloader else {
        let detail = "this server was not started with a configuration that could be read again";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let (wish, read) = oneshot::channel();
    let read = async {
        wishes.send(wish).await.ok()?;
        read.await.ok()
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Some(Ok(reloaded))) => Ok(fresh(reloaded)),
        Ok(Some(Err(why))) => {
            let detail = format!("the configuration stays as it was: {why}");
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
        Ok(None) | Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "nobody reads the configuration now: the server is going down",
        )),
    }
}
