//! The HTTP API against the checklist of WHIP and WHEP: one test for each point that HTTP can show, by its number.
//!
//! - `offers`: points 1–20, POST. `methods`: points 21–26, GET, OPTIONS, CORS. `access`: points 27–31, keys.
//! - `load`: points 20, 32–35: limits and conflicts. `sessions`: points 36–47, PATCH and DELETE.
//! - `layers`: point 61, a viewer's choice of its layer.
//! - `events`: point 60, server-sent events.
//! - `operators`: the API for operators. `rights`: each endpoint × each kind of key.
//! - `thousand`: a thousand sessions.
//! - `connections`: what the wire shows below HTTP's meaning. `pages`: the JSON API.

mod access;
mod connections;
mod events;
mod layers;
mod load;
mod methods;
mod offers;
mod operators;
mod pages;
mod rights;
mod sessions;
mod support;
mod thousand;
