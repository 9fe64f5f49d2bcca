use std::time::Duration;

use super::arrivals;
use super::*;
use crate::client::behaviour::{Behaviour, Kind};

const MINIMAL: &str = "name = 'a'\ndescription = 'b'\nduration = '10s'\n";

fn read(text: &str) -> Result<Scenario, String> {
    Scenario::parse(&format!("{MINIMAL}{text}"), false).map_err(|error| error.to_string())
}

fn crowd(text: &str) -> Vec<crate::driver::Arrival> {
    let scenario = read(text).expect("a scenario");
    arrivals::viewers(
        &scenario.viewers,
        scenario.duration.0,
        &["x".to_owned(), "y".to_owned()],
    )
}

#[test]
fn unknown_keys_are_errors_wherever_they_stand() {
    for text in [
        "colour = 1",
        "[viewers]\ncolour = 1",
        "[publishers.restart]\nafter = 1\naway = 1\ncolour = 1",
        "[limits]\nmax-colour = 1",
        "[viewers]\nlossy = { share = 1, loss = 1, colour = 1 }",
        "[short.viewers]\ncolour = 1",
        "[short]\nduration = '1s'\ncolour = 1",
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains("unknown field"), "{text}: {error}");
    }
    assert!(read("[viewers]\ncount = 3\n").is_ok());
}

#[test]
fn senseless_values_are_errors() {
    for text in [
        "[viewers]\nlossy = { share = 60, loss = 1 }\nstalled = { share = 50, after = 1 }",
        "[viewers]\nlossy = { share = 101, loss = 1 }",
        "[publishers]\ncount = 0",
        "[publishers]\nvideo = 'none'\naudio = false",
        "[publishers]\nfps = 0",
        "[viewers]\nsession-length = 'soon'",
        "[short]\nduration = 0",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn the_short_form_changes_only_what_it_names() {
    let text = format!(
        "{MINIMAL}[viewers]\ncount = 100\nover = '4s'\n[limits]\nmax-failed = 1\n[short]\nduration = '2s'\n[short.viewers]\ncount = 5\n"
    );
    let full = Scenario::parse(&text, false).expect("the full form");
    let short = Scenario::parse(&text, true).expect("the short form");
    assert_eq!((full.viewers.count, full.duration), (100, Time::seconds(10)));
    assert_eq!((short.viewers.count, short.duration), (5, Time::seconds(2)));
    assert_eq!(short.viewers.over, Time::seconds(4));
    assert_eq!(short.limits.max_failed, Some(values::Percent(1.0)));
}

#[test]
fn every_ready_scenario_reads_in_both_forms() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        for short in [false, true] {
            let scenario =
                Scenario::read(&path, short).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(
                Some(scenario.name.as_str()),
                path.file_stem().and_then(|stem| stem.to_str())
            );
            if short {
                assert!(
                    scenario.duration.0 <= Duration::from_secs(10),
                    "{} is not short",
                    scenario.name
                );
            }
        }
        count += 1;
    }
    assert!(count >= 9);
}

#[test]
fn the_documented_scenario_is_one() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    for short in [false, true] {
        Scenario::parse(example, short).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn an_even_crowd_arrives_evenly_at_all_streams() {
    let crowd = crowd("[viewers]\ncount = 4\nover = '2s'");
    let times: Vec<u128> = crowd.iter().map(|arrival| arrival.at.as_millis()).collect();
    assert_eq!(times, [0, 500, 1000, 1500]);
    assert_eq!(crowd.iter().filter(|arrival| arrival.url == "x").count(), 2);
    assert!(crowd.iter().all(|arrival| arrival.stay.is_none()));
}

#[test]
fn churn_keeps_the_seats_taken() {
    for spread in ["fixed", "exponential"] {
        let crowd = crowd(&format!(
            "[viewers]\ncount = 20\nsession-length = '2s'\nsession-spread = '{spread}'\narrival = 'random'\nover = '1s'"
        ));
        assert!(crowd.len() > 60 && crowd.len() < 300, "{}", crowd.len());
        assert!(crowd.is_sorted_by_key(|arrival| arrival.at));
        let there = |second: u64| {
            let moment = Duration::from_secs(second);
            let ends =
                |arrival: &crate::driver::Arrival| arrival.stay.is_none_or(|stay| arrival.at + stay > moment);
            crowd
                .iter()
                .filter(|arrival| arrival.at <= moment && ends(arrival))
                .count()
        };
        assert!((2..9).all(|second| there(second) == 20), "{spread}");
    }
}

#[test]
fn shares_are_met_to_within_a_viewer() {
    let crowd = crowd(
        "[viewers]\ncount = 100\nslow = { share = 10, every = '100ms' }\nlossy = { share = 25, loss = 5 }\nstalled = { share = 5, after = '1s' }",
    );
    let count = |kind| {
        crowd
            .iter()
            .filter(|arrival| arrival.behaviour.kind() == kind)
            .count()
    };
    for (kind, expected) in [
        (Kind::Slow, 10),
        (Kind::Lossy, 25),
        (Kind::Stalled, 5),
        (Kind::Well, 60),
    ] {
        assert!(count(kind).abs_diff(expected) <= 1, "{kind:?}: {}", count(kind));
    }
    let lossy = crowd
        .iter()
        .find(|arrival| arrival.behaviour.kind() == Kind::Lossy);
    assert_eq!(
        lossy.map(|arrival| arrival.behaviour),
        Some(Behaviour::Lossy { share: 0.05 })
    );
}

#[test]
fn a_publisher_that_restarts_is_there_until_the_end() {
    let scenario = read("[publishers.restart]\nafter = '3s'\naway = '1s'\ntimes = 2").expect("a scenario");
    let presence = arrivals::presence(scenario.publishers.restart);
    let from: Vec<u64> = presence.iter().map(|presence| presence.from.as_secs()).collect();
    assert_eq!(from, [0, 4, 8]);
    let leaves: Vec<bool> = presence.iter().map(|presence| presence.leave.is_some()).collect();
    assert_eq!(leaves, [true, true, false]);
    assert!(
        presence
            .iter()
            .filter_map(|presence| presence.leave)
            .all(|leave| !leave.goodbye)
    );
}
