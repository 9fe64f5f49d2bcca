//! A list in pieces: `?limit=`, and `?after=` the last name of the piece before.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

use crate::http::problem::Problem;

pub(super) const DEFAULT_LIMIT: usize = 100;
pub(super) const MAX_LIMIT: usize = 1000;

/// What a query says, with `400` for what cannot be read.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(why) => Err(Problem::new(StatusCode::BAD_REQUEST, why.body_text())),
    }
}

/// The piece after the item named `after`, and the name to ask for the next one with. An item that is gone meanwhile
/// is `410`, since nothing tells where the list went on.
pub(super) fn piece<T>(
    items: Vec<T>,
    name: impl Fn(&T) -> String,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let detail = format!("limit is a number from 1 to {MAX_LIMIT}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let start = match after {
        None => 0,
        Some(after) => match items.iter().position(|item| name(item) == after) {
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
