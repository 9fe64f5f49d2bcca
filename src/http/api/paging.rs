//! A list in pieces: `?limit=`, and `?after=` the last name of the piece before.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::http::problem::Problem;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Which piece of a list; read from the query beside what else it says.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// At most so many, 1 to 1000; 100 if left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the answer before.
    after: Option<String>,
}

/// What a query says, with `400` for what cannot be read.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(why) => Err(Problem::new(StatusCode::BAD_REQUEST, why.body_text())),
    }
}

impl Page {
    /// The piece after the item that the query names, and the name to ask for the next one with. An item that is gone
    /// meanwhile is `410`, since nothing tells where the list went on.
    pub fn of<T>(
        &self,
        items: Vec<T>,
        name: impl Fn(&T) -> String,
    ) -> Result<(Vec<T>, Option<String>), Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            let detail = format!("limit is a number from 1 to {MAX_LIMIT}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        let start = match &self.after {
            None => 0,
            Some(after) => match items.iter().position(|item| name(item) == *after) {
                Some(position) => position + 1,
                None => {
                    let detail = "what `after` names is not in the list any more: begin anew without it";
                    return Err(Problem::new(StatusCode::GONE, detail));
                }
            },
        };
        let more = items.len() > start + limit;
        let piece: Vec<T> = items.into_iter().skip(start).take(limit).collect();
        let next = piece.last().filter(|_| more).map(name);
        Ok((piece, next))
    }
}
